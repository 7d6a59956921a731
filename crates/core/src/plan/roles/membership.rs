//! Memberships of roles: who is a member of whom, by whose grant, with which options.
//!
//! Servers from 16 on keep one membership for each grantor, who must have the admin option on the role
//! himself at the time; before, there is one, and the grantor is a mere name. A grant that cannot be
//! made in its grantor's name is made by the run's role, and joined to what that has granted already.

use std::collections::{BTreeMap, HashSet};

use super::{Roles, Target, note, push};
use crate::model::{Membership, Role};
use crate::name::quote_ident;

/// The first major version whose memberships have options, and a row for each grantor.
const OPTIONS_SINCE: u32 = 16;

/// What a membership is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rights {
    is_admin: bool,
    /// INHERIT and SET, where the source has them.
    options: Option<(bool, bool)>,
}

impl Rights {
    fn of(membership: &Membership) -> Self {
        Rights {
            is_admin: membership.is_admin,
            options: membership.inherits.zip(membership.can_set),
        }
    }

    /// What two memberships are good for together.
    fn join(self, other: Rights) -> Rights {
        let join = |(a, b): (bool, bool), (c, d): (bool, bool)| (a || c, b || d);
        Rights {
            is_admin: self.is_admin || other.is_admin,
            options: match (self.options, other.options) {
                (Some(own), Some(other)) => Some(join(own, other)),
                (own, other) => own.or(other),
            },
        }
    }
}

/// A membership that is still to be granted in its grantor's name.
struct Pending<'a> {
    member: &'a Role,
    role: &'a str,
    grantor: &'a str,
    rights: Rights,
}

/// Plans the memberships that a new role is part of.
pub(super) fn add(source: &[Role], target: &Target<'_>, plan: &mut Roles) {
    let mut own: BTreeMap<(&str, &str), (&Role, Rights)> = BTreeMap::new();
    let mut pending = Vec::new();
    for member in source {
        for membership in &member.memberships {
            if !is_wanted(member, membership, target, plan) {
                continue;
            }
            let rights = Rights::of(membership);
            match find_grantor(membership, target, plan) {
                Some(grantor) => {
                    let role = membership.role.as_str();
                    pending.push(Pending { member, role, grantor, rights });
                }
                None => join_own(&mut own, member, &membership.role, rights),
            }
        }
    }
    if target.major < OPTIONS_SINCE {
        // One membership is all there can be; the first grantor stands for all.
        let mut joined: BTreeMap<(&str, &str), (&Role, &str, Rights)> = BTreeMap::new();
        for grant in pending {
            let key = (grant.role, grant.member.name.as_str());
            let rights = joined.get(&key).map(|(_, _, rights)| rights.join(grant.rights));
            let grantor = joined.get(&key).map_or(grant.grantor, |(_, grantor, _)| grantor);
            joined.insert(key, (grant.member, grantor, rights.unwrap_or(grant.rights)));
        }
        for ((role, name), (member, grantor, mut rights)) in joined {
            if let Some((_, others)) = own.remove(&(role, name)) {
                rights = rights.join(others);
            }
            grant(member, role, rights, Some(grantor), target, plan);
        }
        for ((role, _), (member, rights)) in own {
            grant(member, role, rights, None, target, plan);
        }
        return;
    }
    let mut admins: HashSet<(&str, &str)> = HashSet::new();
    for ((role, name), (member, rights)) in &own {
        grant(member, role, *rights, None, target, plan);
        admins.extend(rights.is_admin.then_some((*role, *name)));
    }
    while !pending.is_empty() {
        let is_ready = |grant: &Pending<'_>| admins.contains(&(grant.role, grant.grantor));
        let ready = pending.iter().position(is_ready);
        let next = pending.remove(ready.unwrap_or(0));
        let Pending { member, role, grantor, rights } = next;
        if ready.is_some() {
            grant(member, role, rights, Some(grantor), target, plan);
        } else {
            let message = format!(
                "its membership in role \"{role}\" is granted by the run's role, since role \
                 \"{grantor}\" may not grant it"
            );
            note(member, message, plan);
            join_own(&mut own, member, role, rights);
            if let Some((_, joined)) = own.get(&(role, member.name.as_str())) {
                grant(member, role, *joined, None, target, plan);
            }
        }
        admins.extend(rights.is_admin.then_some((role, member.name.as_str())));
    }
}

/// Adds to what the run's role grants.
fn join_own<'a>(
    own: &mut BTreeMap<(&'a str, &'a str), (&'a Role, Rights)>,
    member: &'a Role,
    role: &'a str,
    rights: Rights,
) {
    own.entry((role, &member.name))
        .and_modify(|(_, joined)| *joined = joined.join(rights))
        .or_insert((member, rights));
}

/// Whether a membership is the run's to grant; says why if it should be and cannot.
fn is_wanted(
    member: &Role,
    membership: &Membership,
    target: &Target<'_>,
    plan: &mut Roles,
) -> bool {
    let is_new = |name: &String| plan.created.contains(name);
    if !is_new(&member.name) && !is_new(&membership.role) {
        return false;
    }
    if !is_new(&membership.role) && !target.roles.contains(&membership.role) {
        let message =
            format!("not a member of role \"{}\", which the target does not have", membership.role);
        note(member, message, plan);
        return false;
    }
    true
}

/// The grantor to be named: a role that is there, and not the one that superusers' grants count as.
fn find_grantor<'a>(
    membership: &'a Membership,
    target: &Target<'_>,
    plan: &Roles,
) -> Option<&'a str> {
    let grantor = membership.grantor.as_ref()?;
    let is_there = target.roles.contains(grantor) || plan.created.contains(grantor);
    // From 16 on grantors are checked, and what older servers noted of them is not reliable.
    let is_kept = match target.major {
        OPTIONS_SINCE.. => !membership.is_grantor_system && membership.can_set.is_some(),
        _ => true,
    };
    (target.is_superuser && is_there && is_kept).then_some(grantor)
}

fn grant(
    member: &Role,
    role: &str,
    rights: Rights,
    grantor: Option<&str>,
    target: &Target<'_>,
    plan: &mut Roles,
) {
    let mut sql = format!("grant {} to {}", quote_ident(role), quote_ident(&member.name));
    match rights.options.filter(|_| target.major >= OPTIONS_SINCE) {
        Some((inherits, can_set)) => {
            let admin = rights.is_admin;
            sql.push_str(&format!(" with admin {admin}, inherit {inherits}, set {can_set}"));
        }
        None => {
            if rights.is_admin {
                sql.push_str(" with admin option");
            }
            let options = rights.options;
            if options.is_some_and(|(inherits, can_set)| inherits != member.inherits || !can_set) {
                let message = format!(
                    "the options of its membership in role \"{role}\" are unknown to the target"
                );
                note(member, message, plan);
            }
        }
    }
    if let Some(grantor) = grantor {
        sql.push_str(&format!(" granted by {}", quote_ident(grantor)));
    }
    push(member, sql, plan);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn role(name: &str, memberships: &serde_json::Value) -> Role {
        serde_json::from_value(json!({
            "oid": 20_000, "name": name, "is_superuser": false, "inherits": true,
            "can_create_roles": false, "can_create_databases": false, "can_login": false,
            "can_replicate": false, "bypasses_row_security": false, "connection_limit": -1,
            "valid_until": null, "settings": [], "comment": null, "is_password_readable": true,
            "memberships": memberships,
        }))
        .expect("a role")
    }

    fn plan_for(major: u32, is_superuser: bool, source: &[Role]) -> (Vec<String>, Vec<String>) {
        let roles = HashSet::from(["boss".to_owned()]);
        let settings = HashSet::new();
        let target = Target { roles: &roles, settings: &settings, major, is_superuser };
        let mut plan = Roles {
            created: source.iter().map(|role| role.name.clone()).collect(),
            ..Roles::default()
        };
        add(source, &target, &mut plan);
        let sql = plan.statements.iter().map(|statement| statement.sql.replace('"', "")).collect();
        (sql, plan.notes.into_iter().map(|note| note.message).collect())
    }

    /// A creator of roles, with what a server from 16 on grants him, and a member by his grant.
    fn source() -> Vec<Role> {
        let by_system = json!({
            "role": "made", "is_admin": true, "inherits": false, "can_set": false,
            "grantor": "boss", "is_grantor_system": true,
        });
        let by_maker = json!({
            "role": "made", "is_admin": false, "inherits": true, "can_set": true,
            "grantor": "maker", "is_grantor_system": false,
        });
        let by_stranger = json!({
            "role": "made", "is_admin": false, "inherits": true, "can_set": false,
            "grantor": "user", "is_grantor_system": false,
        });
        vec![
            role("user", &json!([by_maker])),
            role("made", &json!([])),
            role("maker", &json!([by_system, by_maker, by_stranger])),
        ]
    }

    #[test]
    fn every_grantor_grants_what_he_has_granted_once_he_may() {
        let (sql, notes) = plan_for(16, true, &source());
        assert_eq!(
            sql,
            [
                "grant made to maker with admin true, inherit false, set false",
                "grant made to user with admin false, inherit true, set true granted by maker",
                "grant made to maker with admin false, inherit true, set true granted by maker",
                "grant made to maker with admin true, inherit true, set false",
            ]
        );
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("role \"user\" may not grant it"));
    }

    #[test]
    fn memberships_of_several_grantors_become_one_where_there_can_be_but_one() {
        let (sql, notes) = plan_for(15, true, &source());
        assert_eq!(
            sql,
            [
                "grant made to maker with admin option granted by boss",
                "grant made to user granted by maker",
            ]
        );
        assert!(notes.is_empty(), "{notes:?}");
        let (sql, _) = plan_for(16, false, &source());
        assert_eq!(
            sql,
            [
                "grant made to maker with admin true, inherit true, set true",
                "grant made to user with admin false, inherit true, set true",
            ]
        );
    }
}
