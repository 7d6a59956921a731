//! Roles that the target does not have: created with their options, memberships and passwords.
//!
//! Roles that are there stay as they are, but for memberships that a new role is part of.

mod membership;

use std::collections::{HashMap, HashSet};

use super::Note;
use super::task::{Statement, StatementMode};
use crate::ddl::setting::Setting;
use crate::model::{Class, ObjectId, Role, SecurityLabel};
use crate::name::{quote_ident, quote_literal};
use crate::options::Options;

/// The target, as far as roles are concerned.
#[derive(Debug)]
pub struct Target<'a> {
    pub roles: &'a HashSet<String>,
    /// Names of its settings, in lower case.
    pub settings: &'a HashSet<String>,
    pub major: u32,
    /// Whether the run's role may make superusers.
    pub is_superuser: bool,
}

/// What is to be done about roles.
#[derive(Debug, Default)]
pub struct Roles {
    pub statements: Vec<Statement>,
    /// Names of those that are created.
    pub created: Vec<String>,
    pub notes: Vec<Note>,
}

/// Plans the creation of what is missing; `labels` are those of the source.
pub fn plan(
    source: &[Role],
    labels: &HashMap<ObjectId, Vec<SecurityLabel>>,
    target: &Target<'_>,
    options: &Options,
) -> Roles {
    let mut plan = Roles::default();
    let missing: Vec<&Role> =
        source.iter().filter(|role| !target.roles.contains(&role.name)).collect();
    plan.created = missing.iter().map(|role| role.name.clone()).collect();
    for role in &missing {
        create(role, target, &mut plan);
    }
    for role in &missing {
        add_settings(role, target, &mut plan);
        if let Some(comment) = role.comment.as_ref().filter(|_| options.comments) {
            let (name, text) = (quote_ident(&role.name), quote_literal(comment));
            push(role, format!("comment on role {name} is {text}"), &mut plan);
        }
        let labels = labels.get(&ObjectId::new(Class::ROLE, role.oid));
        for label in labels.into_iter().flatten().filter(|_| options.security_labels) {
            let (provider, name) = (quote_ident(&label.provider), quote_ident(&role.name));
            let text = quote_literal(&label.label);
            let sql = format!("security label for {provider} on role {name} is {text}");
            push(role, sql, &mut plan);
        }
        add_password(role, &mut plan);
    }
    membership::add(source, target, &mut plan);
    plan
}

fn push(role: &Role, sql: String, plan: &mut Roles) {
    plan.statements.push(Statement::new(&format!("role {}", role.name), &sql));
}

fn note(role: &Role, message: String, plan: &mut Roles) {
    plan.notes.push(Note { object: format!("role {}", role.name), message });
}

fn create(role: &Role, target: &Target<'_>, plan: &mut Roles) {
    let mut sql = format!("create role {}", quote_ident(&role.name));
    let for_all = [
        (role.can_create_roles, " createrole"),
        (role.can_create_databases, " createdb"),
        (role.can_login, " login"),
        (!role.inherits, " noinherit"),
    ];
    let for_superusers = [
        (role.is_superuser, " superuser"),
        (role.can_replicate, " replication"),
        (role.bypasses_row_security, " bypassrls"),
    ];
    for (_, words) in for_all.iter().filter(|(has, _)| *has) {
        sql.push_str(words);
    }
    for (_, words) in for_superusers.iter().filter(|(has, _)| *has) {
        if target.is_superuser {
            sql.push_str(words);
        } else {
            let message = format!("created without{words}, which only a superuser may give");
            note(role, message, plan);
        }
    }
    if role.connection_limit >= 0 {
        sql.push_str(&format!(" connection limit {}", role.connection_limit));
    }
    if let Some(until) = &role.valid_until {
        sql.push_str(&format!(" valid until {}", quote_literal(until)));
    }
    push(role, sql, plan);
}

fn add_settings(role: &Role, target: &Target<'_>, plan: &mut Roles) {
    for stored in &role.settings {
        let Some(setting) = Setting::parse(stored) else {
            continue;
        };
        if setting.is_known(target.settings) {
            let sql = format!("alter role {} {}", quote_ident(&role.name), setting.render());
            push(role, sql, plan);
        } else {
            let message = format!("the target has no setting \"{}\", left out", setting.name);
            note(role, message, plan);
        }
    }
}

fn add_password(role: &Role, plan: &mut Roles) {
    if !role.is_password_readable {
        if role.can_login {
            note(role, "created without its password, which may not be read".to_owned(), plan);
        }
        return;
    }
    let sql = format!("alter role {} password '********'", quote_ident(&role.name));
    let mode = StatementMode::Secret(ObjectId::new(Class::ROLE, role.oid));
    plan.statements
        .push(Statement { mode, ..Statement::new(&format!("role {}", role.name), &sql) });
}
