//! The message rules of a plan, compiled.

use crate::meta::Meta;
use crate::plan::{Kind, MessageRule, RuleAction};
use crate::rng::Rng;
use cretoai_core::committee::ReplicaSet;

/// All rules of a run, in order.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    /// The kinds that any of them is about: most messages are of none.
    kinds: u32,
}

#[derive(Clone, Debug)]
struct Rule {
    name: String,
    enabled: bool,
    kinds: u32,
    from: ReplicaSet,
    to: ReplicaSet,
    views: Option<[u64; 2]>,
    slots: Option<[u64; 2]>,
    time: [u64; 2],
    left: u64,
    per_mille: u32,
    action: RuleAction,
}

/// The set of the replicas of a list; of all when the list is empty.
#[must_use]
pub fn set_or_all(list: &[u16]) -> ReplicaSet {
    if list.is_empty() { ReplicaSet::MAX } else { list.iter().fold(0, |set, id| set | 1 << id) }
}

fn kinds_or_all(list: &[Kind]) -> u32 {
    if list.is_empty() { u32::MAX } else { list.iter().fold(0, |set, kind| set | 1 << *kind as u32) }
}

impl Rules {
    /// Compiles rules.
    #[must_use]
    pub fn new(rules: &[MessageRule]) -> Self {
        let compile = |rule: &MessageRule| Rule {
            name: rule.name.clone(),
            enabled: rule.enabled,
            kinds: kinds_or_all(&rule.kinds),
            from: set_or_all(&rule.from),
            to: set_or_all(&rule.to),
            views: rule.views,
            slots: rule.slots,
            time: [rule.from_us * 1000, rule.until_us.map_or(u64::MAX, |until| until.saturating_mul(1000))],
            left: rule.limit.unwrap_or(u64::MAX),
            per_mille: rule.per_mille,
            action: rule.action,
        };
        let rules: Vec<Rule> = rules.iter().map(compile).collect();
        let kinds = rules.iter().fold(0, |all, rule| all | rule.kinds);
        Self { rules, kinds }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Switches the rules of a name on or off. Whether there is such a rule.
    pub fn switch(&mut self, name: &str, enabled: bool) -> bool {
        let mut found = false;
        for rule in self.rules.iter_mut().filter(|rule| rule.name == name) {
            rule.enabled = enabled;
            found = true;
        }
        found
    }

    /// From now on no rule touches what one of `set` sends to another of it.
    pub fn spare(&mut self, set: ReplicaSet) {
        let mut split = Vec::new();
        for rule in self.rules.drain(..) {
            split.push(Rule { from: rule.from & set, to: rule.to & !set, ..rule.clone() });
            split.push(Rule { from: rule.from & !set, ..rule });
        }
        self.rules = split;
    }

    /// What the first rule that matches a message says, if any does.
    #[inline]
    pub fn decide(&mut self, rng: &mut Rng, meta: &Meta, link: (u16, u16), now: u64) -> Option<RuleAction> {
        if self.kinds & 1 << meta.kind as u32 == 0 {
            return None;
        }
        let (from, to) = link;
        let matches = |rule: &&mut Rule| {
            rule.enabled
                && rule.left > 0
                && rule.kinds & 1 << meta.kind as u32 != 0
                && rule.from & 1 << from != 0
                && rule.to & 1 << to != 0
                && rule.time[0] <= now
                && now < rule.time[1]
                && within(rule.views, meta.view.map(|view| (view, view)))
                && within(rule.slots, meta.slots)
                && rng.chance(rule.per_mille)
        };
        let rule = self.rules.iter_mut().find(matches)?;
        rule.left -= 1;
        Some(rule.action)
    }
}

fn within(range: Option<[u64; 2]>, span: Option<(u64, u64)>) -> bool {
    let Some([low, high]) = range else { return true };
    span.is_some_and(|(first, last)| first <= high && low <= last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Concern;

    fn meta(kind: Kind, slot: u64) -> Meta {
        Meta { kind, view: Some(1), slots: Some((slot, slot)), fingerprint: 0 }
    }

    #[test]
    fn the_first_rule_that_matches_decides_until_it_is_used_up() {
        let drop_commits = MessageRule {
            kinds: vec![Kind::Commit],
            from: vec![0],
            slots: Some([5, 6]),
            limit: Some(1),
            ..MessageRule::default()
        };
        let slow = MessageRule { action: RuleAction::Delay { us: 7 }, until_us: Some(1), ..MessageRule::default() };
        let mut rules = Rules::new(&[drop_commits, slow]);
        let mut rng = Rng::new(0, Concern::Network);
        let mut decide = |meta, link, now| rules.decide(&mut rng, &meta, link, now);
        let delay = Some(RuleAction::Delay { us: 7 });
        assert_eq!(decide(meta(Kind::Commit, 4), (0, 1), 0), delay);
        assert_eq!(decide(meta(Kind::Commit, 5), (1, 0), 0), delay);
        assert_eq!(decide(meta(Kind::Commit, 5), (0, 1), 0), Some(RuleAction::Drop));
        assert_eq!(decide(meta(Kind::Commit, 5), (0, 1), 0), delay);
        assert_eq!(decide(meta(Kind::Commit, 5), (0, 1), 1000), None);
    }

    #[test]
    fn a_core_is_spared() {
        let mut rules = Rules::new(&[MessageRule::default()]);
        rules.spare(0b0111);
        let mut rng = Rng::new(0, Concern::Network);
        let mut lost = |from, to| rules.decide(&mut rng, &meta(Kind::Status, 0), (from, to), 0).is_some();
        assert!(!lost(0, 1) && !lost(2, 0));
        assert!(lost(0, 3) && lost(3, 0) && lost(3, 3));
    }
}
