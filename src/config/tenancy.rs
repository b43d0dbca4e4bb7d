//! Reads the organization, its members and their plans from the configuration file.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use toml::de::DeValue;

use super::problem::Problems;
use super::section::{Section, integer};
use crate::access::{
    DEFAULT_PLAN, KeyLimits, MAX_MONTHLY_REQUESTS, MAX_REQUESTS_PER_SECOND, Member, Plan, Role, Source,
    Tenancy,
};

const ID: &str = "1 to 128 letters, digits, '-', '_', '.' or '@'";
const TEXT: &str = "a text of 1 to 200 characters";

type Plans = BTreeMap<Arc<str>, Arc<Plan>>;

/// Reads `[organization]`, `[[members]]` and `[plans.NAME]`.
pub(super) fn read(top: &mut Section<'_>, problems: &mut Problems) -> Tenancy {
    let plans = plans(top.section("plans", problems), problems);
    let mut tenancy = Tenancy { plans: plans.clone(), ..Tenancy::default() };
    organization(top.section("organization", problems), &plans, &mut tenancy, problems);
    let sections = top.sections("members", problems);
    if sections.is_empty() {
        return tenancy;
    }
    tenancy.members = sections.into_iter().filter_map(|section| member(section, &plans, problems)).collect();
    check_members(top, &tenancy, problems);
    tenancy
}

/// Reads `[limits.keys]`: the limits of keys that have none of their own.
pub(super) fn key_defaults(mut s: Section<'_>, problems: &mut Problems) -> KeyLimits {
    let mut limits = KeyLimits::default();
    let most = u64::from(MAX_REQUESTS_PER_SECOND);
    let rate = format!("a whole number from 1 to {most}");
    s.set("requests_per_second", &rate, &mut limits.requests_per_second, problems, |value| {
        let rate = count(value, 1..=most)?;
        u32::try_from(rate).ok().and_then(NonZeroU32::new).map(Some)
    });
    s.set(
        "monthly_requests",
        "a whole number, at least 1",
        &mut limits.monthly_requests,
        problems,
        |value| count(value, 1..=MAX_MONTHLY_REQUESTS).map(Some),
    );
    s.finish(problems);
    limits
}

fn plans(mut section: Section<'_>, problems: &mut Problems) -> Plans {
    let mut plans = Plan::built_in();
    for (name, mut s) in section.named(problems) {
        let mut plan = Plan { source: Source::File, ..Plan::with_rate(&name, None) };
        s.set(
            "requests_per_second",
            "a whole number from 1 to 1000000",
            &mut plan.requests_per_second,
            problems,
            |value| count(value, 1..=1_000_000).and_then(|number| u32::try_from(number).ok()).map(Some),
        );
        for (name, slot) in [
            ("monthly_requests", &mut plan.monthly_requests),
            ("max_mcps", &mut plan.max_mcps),
            ("max_api_keys", &mut plan.max_api_keys),
            ("max_members", &mut plan.max_members),
        ] {
            s.set(name, "a whole number, at least 1", slot, problems, |value| {
                count(value, 1..=1_000_000_000_000).map(Some)
            });
        }
        s.finish(problems);
        plans.insert(name.into(), Arc::new(plan));
    }
    plans
}

fn organization(mut s: Section<'_>, plans: &Plans, tenancy: &mut Tenancy, problems: &mut Problems) {
    let organization = &mut tenancy.organization;
    s.set("id", ID, &mut organization.id, problems, |value| id(value).map(Into::into));
    s.set("name", TEXT, &mut organization.name, problems, text);
    s.set("slug", ID, &mut organization.slug, problems, id);
    s.set("description", TEXT, &mut organization.description, problems, |value| text(value).map(Some));
    let mut plan = plans.get(DEFAULT_PLAN).cloned();
    set_plan(&mut s, plans, &mut plan, problems);
    if let Some(plan) = plan {
        organization.plan = plan;
    }
    s.finish(problems);
}

fn member(mut s: Section<'_>, plans: &Plans, problems: &mut Problems) -> Option<Arc<Member>> {
    let before = problems.len();
    let mut member = Member { role: Role::Member, source: Source::File, ..Tenancy::default_owner() };
    let (mut given, mut name) = (None, None);
    s.set("id", ID, &mut given, problems, |value| id(value).map(Some));
    s.set("name", TEXT, &mut name, problems, |value| text(value).map(Some));
    s.set("email", TEXT, &mut member.email, problems, |value| text(value).map(Some));
    s.choice("role", &Role::ALL, &mut member.role, problems);
    set_plan(&mut s, plans, &mut member.plan, problems);
    if given.is_none() && problems.len() == before {
        s.refuse("id", "is required".to_owned(), problems);
    }
    s.finish(problems);
    let id = given?;
    member.name = name.unwrap_or_else(|| id.clone());
    member.id = id.into();
    Some(Arc::new(member))
}

fn set_plan(s: &mut Section<'_>, plans: &Plans, slot: &mut Option<Arc<Plan>>, problems: &mut Problems) {
    let names: Vec<String> = plans.keys().map(|name| format!("{name:?}")).collect();
    s.set("plan", &format!("one of the plans {}", names.join(", ")), slot, problems, |value| {
        plans.get(value.as_str()?).cloned().map(Some)
    });
}

fn check_members(top: &Section<'_>, tenancy: &Tenancy, problems: &mut Problems) {
    let mut ids = HashSet::new();
    if let Some(twice) = tenancy.members.iter().find(|member| !ids.insert(&*member.id)) {
        top.refuse("members", format!("has two members with the id '{}'", twice.id), problems);
    }
    if tenancy.owner().is_none() && problems.len() == 0 {
        top.refuse("members", "must have at least one with role = \"owner\"".to_owned(), problems);
    }
    match tenancy.organization.plan.max_members {
        Some(limit) if tenancy.members.len() as u64 > limit => {
            let plan = &tenancy.organization.plan.name;
            let count = tenancy.members.len();
            top.refuse(
                "members",
                format!("has {count} members, and the plan '{plan}' allows {limit}"),
                problems,
            );
        }
        _ => {}
    }
}

fn count(value: &DeValue<'_>, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
    integer(value).filter(|number| range.contains(number))
}

fn text(value: &DeValue<'_>) -> Option<String> {
    let text = value.as_str()?.trim();
    (1..=200).contains(&text.chars().count()).then(|| text.to_owned())
}

fn id(value: &DeValue<'_>) -> Option<String> {
    let text = value.as_str()?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    ((1..=128).contains(&text.len()) && text.chars().all(good)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::super::section::Document;
    use super::super::settings::Config;
    use super::*;

    fn read(text: &str) -> (Tenancy, Vec<String>) {
        let (mut config, mut problems) = (Config::with_defaults("/d".into()), Problems::default());
        file::apply(Document::new("c.toml", text), "/etc".as_ref(), &mut config, &mut problems);
        let tenancy = config.tenancy.clone();
        let lines = problems.into_result(()).err().unwrap_or_default();
        (tenancy, lines.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn members_have_roles_and_plans() {
        let (tenancy, lines) = read(
            "[organization]\nname = 'Acme'\nplan = 'gold'\n[plans.gold]\nrequests_per_second = 5\nmax_api_keys = 2\n\
             [[members]]\nid = 'user_a'\nrole = 'owner'\nname = 'Ann'\n[[members]]\nid = 'user_b'\nplan = 'free'\n",
        );
        assert_eq!(lines, [""; 0]);
        assert_eq!((tenancy.organization.name.as_str(), &*tenancy.organization.plan.name), ("Acme", "gold"));
        assert_eq!(tenancy.organization.plan.max_api_keys, Some(2));
        let [ann, b] = tenancy.members.as_slice() else { panic!("two members") };
        assert_eq!(
            (ann.role, ann.name.as_str(), tenancy.plan_of(ann).requests_per_second),
            (Role::Owner, "Ann", Some(5))
        );
        assert_eq!(
            (b.role, b.name.as_str(), tenancy.plan_of(b).requests_per_second),
            (Role::Member, "user_b", Some(10))
        );
    }

    #[test]
    fn without_members_there_is_one_owner() {
        let (tenancy, _) = read("[organization]\nplan = 'unlimited'\n");
        assert_eq!(
            (&*tenancy.members[0].id, tenancy.organization.plan.requests_per_second),
            ("user_owner", None)
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (text, reason) in [
            ("[[members]]\nid = 'a'\n", "members must have at least one with role = \"owner\""),
            ("[[members]]\nname = 'a'\n", "members.id is required"),
            ("[[members]]\nid = 'a b'\nrole = 'owner'", "members.id must be 1 to 128 letters"),
            (
                "[[members]]\nid = 'a'\nrole = 'owner'\n[[members]]\nid = 'a'",
                "members has two members with the id 'a'",
            ),
            ("[[members]]\nid = 'a'\nrole = 'king'", "members.role must be one of"),
            ("[organization]\nplan = 'gold'", "organization.plan must be one of the plans \"free\", \"pro\""),
            (
                "[plans.x]\nrequests_per_second = 0",
                "plans.x.requests_per_second must be a whole number from 1",
            ),
            ("[plans.x]\nrate = 1", "plans.x.rate is not a known setting"),
            (
                "[limits.keys]\nrequests_per_second = 0",
                "limits.keys.requests_per_second must be a whole number",
            ),
            ("[limits.keys]\ncalls_at_once = 3", "limits.keys.calls_at_once is not a known setting"),
            ("plans = 1", "plans must be a section: [plans]"),
            ("members = 1", "members must be sections: [[members]]"),
        ] {
            let (_, lines) = read(text);
            assert!(lines.iter().any(|line| line.contains(reason)), "{text}: {lines:?}");
        }
    }
}
