//! Access lists to GRANT and REVOKE.
//!
//! What an object starts with (the built-in defaults, or what its extension gave) is compared with what
//! it has; only the difference is stated, in the order of the access list, so that the target's list comes
//! out in the same order.

use std::borrow::Cow;
use std::collections::HashSet;

use super::DdlOptions;
use super::context::Context;
use super::item::{Attribute, Item, ItemKind, PRIVILEGES, Section};
use super::namespace::PUBLIC;
use crate::model::{Acl, Class, Database, DefaultAcl, Grant, LargeObject, ObjectId};
use crate::name::quote_ident;

/// The privilege to run VACUUM and the like, and the major version it came with.
const MAINTAIN: &str = "maintain";
const MAINTAIN_SINCE: u32 = 17;

/// The statements that turn the initial privileges of an object or column into those it has.
fn render(acl: &Acl, target_major: u32) -> Vec<Attribute> {
    let target = Target {
        prefix: String::new(),
        column: acl.column.as_deref().map(quote_ident),
        on: format!("{} {}", acl.kind, acl.identity),
        owner: &acl.owner,
    };
    state_difference(&target, &find_initial(acl), &acl.grants, target_major)
}

/// The same for a large object.
pub(super) fn render_large_object(
    identity: &str,
    object: &LargeObject,
    options: &DdlOptions,
) -> Vec<Attribute> {
    let target = Target {
        prefix: String::new(),
        column: None,
        on: identity.to_owned(),
        owner: &object.owner,
    };
    state_difference(&target, &object.initial, &object.grants, options.target_major())
}

/// The same for a database, under the name that it has on the target.
pub(super) fn render_database(
    identity: &str,
    database: &Database,
    options: &DdlOptions,
) -> Vec<Attribute> {
    let target = Target {
        prefix: String::new(),
        column: None,
        on: format!("database {identity}"),
        owner: &database.owner,
    };
    state_difference(&target, &database.initial, &database.grants, options.target_major())
}

/// The statements that take back what the target grants on a new object of the run's role, so that it
/// has what the server alone would give it. To be run before the object changes its owner.
pub(super) fn take_back(
    options: &DdlOptions,
    item: &Item,
    noun: &str,
    identity: &str,
) -> Vec<Attribute> {
    let (kind, word) = match noun {
        "table" | "foreign table" | "view" | "materialized view" => ("tables", "table"),
        "sequence" => ("sequences", "sequence"),
        "function" | "procedure" | "aggregate" => ("functions", "routine"),
        "type" | "domain" => ("types", "type"),
        "schema" => ("schemas", "schema"),
        _ => return Vec::new(),
    };
    // Everybody may use functions and types without being told so.
    let is_built_in = |grant: &&Grant| {
        grant.grantee.is_none() && matches!(kind, "functions" | "types") && !grant.is_grantable
    };
    let mut attributes = Vec::new();
    for acl in options.default_acls.iter().filter(|acl| acl.kind == kind) {
        let target = Target {
            prefix: String::new(),
            column: None,
            on: format!("{word} {}", as_argument_types(identity)),
            owner: &acl.role,
        };
        let major = options.target_major();
        if acl.schema.is_none() {
            attributes.extend(state_difference(&target, &acl.grants, &acl.initial, major));
        } else if acl.schema == item.schema {
            let grants = acl.grants.iter();
            let granted: Vec<Grant> = grants
                .filter(|grant| grant.grantee.as_ref() != Some(&acl.role) && !is_built_in(grant))
                .cloned()
                .collect();
            attributes.extend(state_difference(&target, &granted, &[], major));
        }
    }
    attributes
}

/// The identity of an aggregate as GRANT has it: `*` is no argument, those after ORDER BY are like
/// others, and a variadic one on both sides is one.
fn as_argument_types(identity: &str) -> String {
    if let Some(name) = identity.strip_suffix("(*)") {
        return format!("{name}()");
    }
    match identity.split_once(" ORDER BY ") {
        Some((direct, ordered)) if ordered.starts_with("VARIADIC ") => {
            let name = direct.rfind("VARIADIC ").map_or(direct, |at| &direct[..at]);
            format!("{name}{ordered}")
        }
        Some((direct, ordered)) => format!("{direct}, {ordered}"),
        None => identity.replace("(ORDER BY ", "("),
    }
}

/// Says who loses a privilege that the target does not know.
fn find_unknown(grants: &[Grant], initial: &[Grant], target_major: u32) -> Option<String> {
    let mut losers: Vec<&str> = grants
        .iter()
        .filter(|grant| grant.privilege == MAINTAIN && target_major < MAINTAIN_SINCE)
        .filter(|grant| !initial.contains(grant))
        .map(|grant| grant.grantee.as_deref().unwrap_or("public"))
        .collect();
    losers.dedup();
    (!losers.is_empty()).then(|| {
        format!("the target has no privilege \"{MAINTAIN}\", left out for {}", losers.join(", "))
    })
}

/// The default privileges of a role.
pub(super) fn render_default(context: &Context, acl: &DefaultAcl) -> Option<Item> {
    let within = acl
        .schema
        .as_deref()
        .map_or(String::new(), |schema| format!(" in schema {}", quote_ident(schema)));
    let role = quote_ident(&acl.role);
    let target = Target {
        prefix: format!("alter default privileges for role {role}{within} "),
        column: None,
        on: acl.kind.clone(),
        owner: &acl.role,
    };
    let id = ObjectId::new(Class::DEFAULT_ACL, acl.oid);
    let object = format!("default privileges of role {} on {}{within}", acl.role, acl.kind);
    let mut item = Item::new(id, ItemKind::DefaultPrivileges, object, &acl.role).at_the_end();
    item.schema = acl.schema.clone();
    let target_major = context.options.target_major();
    if target_major < acl.since() {
        item.obstacle =
            Some(format!("left out, since the target knows no default privileges on {}", acl.kind));
        return context.options.privileges.then_some(item);
    }
    item.attributes = state_difference(&target, &acl.initial, &acl.grants, target_major);
    for attribute in &mut item.attributes {
        attribute.roles.push(acl.role.clone());
    }
    item.notes.extend(find_unknown(&acl.grants, &acl.initial, target_major));
    let is_empty = item.attributes.is_empty() && item.notes.is_empty();
    (context.options.privileges && !is_empty).then_some(item)
}

/// The statements that turn `initial` into `grants`, as far as the target knows the privileges.
fn state_difference(
    target: &Target,
    initial: &[Grant],
    grants: &[Grant],
    target_major: u32,
) -> Vec<Attribute> {
    let exists = |grant: &&Grant| grant.privilege != MAINTAIN || target_major >= MAINTAIN_SINCE;
    let mut attributes = Vec::new();
    for group in group_by_role(initial) {
        let lost: Vec<&Grant> =
            group.into_iter().filter(|grant| exists(grant) && !grants.contains(grant)).collect();
        attributes.extend(target.state(Verb::Revoke, &lost));
    }
    for group in group_by_role(grants) {
        for is_grantable in [false, true] {
            let gained: Vec<&Grant> = group
                .iter()
                .copied()
                .filter(|grant| exists(grant) && !initial.contains(grant))
                .filter(|grant| grant.is_grantable == is_grantable)
                .collect();
            attributes.extend(target.state(Verb::Grant, &gained));
        }
    }
    attributes
}

/// One item per object whose privileges, or whose columns' privileges, were changed: objects that `items`
/// make, and those of extensions and of the system. They come last, since a revoked privilege can stop
/// an index from being built.
pub(super) fn render_all(context: &Context, items: &[Item]) -> Vec<Item> {
    if !context.options.privileges {
        return Vec::new();
    }
    let made: HashSet<ObjectId> = items.iter().flat_map(|item| &item.provides).copied().collect();
    let mut privileges = Vec::new();
    for (&id, acls) in &context.catalog.annotations.acls {
        let target_major = context.options.target_major();
        let stated = || acls.iter().filter(|acl| acl.is_foreign || made.contains(&id));
        let attributes: Vec<Attribute> =
            stated().flat_map(|acl| render(acl, target_major)).collect();
        let notes: Vec<String> = stated()
            .filter_map(|acl| find_unknown(&acl.grants, &acl.initial, target_major))
            .collect();
        if let (Some(acl), false) = (acls.first(), attributes.is_empty() && notes.is_empty()) {
            let object = format!("privileges on {} {}", acl.kind, acl.identity);
            let own_id = ObjectId { subid: PRIVILEGES, ..id };
            let mut item = Item::new(own_id, ItemKind::Privileges, object, &acl.identity);
            item.section = Section::Finish;
            item.requires.push(id);
            item.requires.extend(context.schema_oid(acl).map(|oid| ObjectId {
                class: Class::SCHEMA,
                oid,
                subid: PRIVILEGES,
            }));
            item.is_foreign = acl.is_foreign;
            item.attributes = attributes;
            item.notes = notes;
            privileges.push(item);
        }
    }
    privileges
}

/// What an object starts with on the target.
fn find_initial(acl: &Acl) -> Cow<'_, [Grant]> {
    if acl.id.class != Class::SCHEMA || acl.identity != PUBLIC {
        return Cow::Borrowed(&acl.initial);
    }
    let grant = |grantee: Option<&str>, privilege: &str| Grant {
        grantor: acl.owner.clone(),
        grantee: grantee.map(str::to_owned),
        privilege: privilege.to_owned(),
        is_grantable: false,
    };
    let owner = Some(acl.owner.as_str());
    Cow::Owned(vec![grant(owner, "usage"), grant(owner, "create"), grant(None, "usage")])
}

/// The object whose privileges are stated.
struct Target<'a> {
    /// What stands before GRANT or REVOKE.
    prefix: String,
    column: Option<String>,
    on: String,
    owner: &'a str,
}

#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Grant,
    Revoke,
}

impl Target<'_> {
    /// One statement for privileges of one grantor, grantee and grant option.
    fn state(&self, verb: Verb, grants: &[&Grant]) -> Option<Attribute> {
        let first = grants.first()?;
        let mut privileges = String::new();
        for grant in grants {
            if !privileges.is_empty() {
                privileges.push_str(", ");
            }
            privileges.push_str(&grant.privilege);
            if let Some(column) = &self.column {
                privileges.push_str(&format!(" ({column})"));
            }
        }
        let grantee = first.grantee.as_deref().map_or("public".to_owned(), quote_ident);
        let on = &self.on;
        let mut sql = match verb {
            Verb::Grant => format!("{}grant {privileges} on {on} to {grantee}", self.prefix),
            Verb::Revoke => format!("{}revoke {privileges} on {on} from {grantee}", self.prefix),
        };
        if verb == Verb::Grant && first.is_grantable && first.grantee.as_deref() != Some(self.owner)
        {
            sql.push_str(" with grant option");
        }
        let mut roles: Vec<String> = first.grantee.iter().cloned().collect();
        if first.grantor != self.owner {
            sql = format!("set role {}; {sql}; reset role", quote_ident(&first.grantor));
            roles.push(first.grantor.clone());
        }
        Some(Attribute { sql, roles })
    }
}

/// Splits an access list by grantor and grantee, in the order of first appearance.
fn group_by_role(grants: &[Grant]) -> Vec<Vec<&Grant>> {
    let mut groups: Vec<Vec<&Grant>> = Vec::new();
    for grant in grants {
        let same = groups
            .iter_mut()
            .find(|group| group[0].grantor == grant.grantor && group[0].grantee == grant.grantee);
        match same {
            Some(group) => group.push(grant),
            None => groups.push(vec![grant]),
        }
    }
    groups
}
