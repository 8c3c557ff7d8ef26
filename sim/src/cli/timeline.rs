//! The turning points of a run: faults, crashes, view changes, stable checkpoints.

use super::event;
use super::words::{members, replicas, seconds};
use crate::observe::{State, TraceEvent, TraceSink, What};
use crate::plan::{Behaviour, Byzantine, Fault, Plan};
use cretoai_core::record::Record;
use std::io::{self, Write};

/// Rows that are shown from the start and from the end when there are too many.
const HEAD: usize = 28;
const TAIL: usize = 8;

/// What replicas do within this time of each other is one row, if it is the same.
const TOGETHER_NS: u64 = 150_000_000;

/// What happens all the time is shown when nothing else happened for this long.
const QUIET_NS: u64 = 500_000_000;

/// How many rows back the same thing is looked for.
const LOOK_BACK: usize = 6;

/// The replicas of larger clusters are not shown one by one.
const MOST_COLUMNS: usize = 10;

/// Listens for turning points.
#[derive(Debug)]
pub(super) struct Timeline {
    states: Vec<Replica>,
    rows: Vec<Row>,
    /// Replicas that run twice: what they show is that of two.
    twins: u128,
}

#[derive(Clone, Copy, Debug, Default)]
struct Replica {
    state: State,
    is_down: bool,
}

#[derive(Debug)]
struct Row {
    at: u64,
    /// Who; empty for what concerns all.
    who: u128,
    text: String,
    states: Vec<Replica>,
}

impl Timeline {
    /// Of a run of this plan.
    pub(super) fn new(plan: &Plan) -> Self {
        let is_twin = |entry: &&Byzantine| matches!(entry.behaviour, Behaviour::Twin { .. });
        let twins = plan.byzantine.iter().filter(is_twin).fold(0, |set, entry| set | 1 << entry.replica);
        Self { states: vec![Replica::default(); usize::from(plan.n)], rows: Vec::new(), twins }
    }

    /// A new row, unless it belongs to one that is there.
    fn note(&mut self, at: u64, who: Option<u16>, text: String) {
        if !who.is_some_and(|id| self.join(at, id, &text)) {
            let who = who.map_or(0, |id| 1 << id);
            self.rows.push(Row { at, who, text, states: self.states.clone() });
        }
    }

    /// A new row, unless there was one about the same thing before.
    fn note_first(&mut self, at: u64, who: u16, text: String) {
        let is_known = self.rows.iter().any(|row| row.text == text && row.who >> who & 1 == 1);
        if is_known {
            return;
        }
        match self.rows.iter_mut().find(|row| row.text == text) {
            Some(row) => row.who |= 1 << who,
            None => self.note(at, Some(who), text),
        }
    }

    /// A new row if nothing else has happened for a while.
    fn note_if_quiet(&mut self, at: u64, who: u16, text: String) {
        let is_quiet = self.rows.last().is_none_or(|row| row.at + QUIET_NS <= at);
        if !self.join(at, who, &text) && is_quiet {
            self.note(at, Some(who), text);
        }
    }

    /// Whether one of the last rows, and not too long ago, is about the same thing; then the replica joins it.
    fn join(&mut self, at: u64, who: u16, text: &str) -> bool {
        let now = self.states.get(usize::from(who)).copied();
        let is_same = |row: &&mut Row| row.text == text && row.who >> who & 1 == 0 && at - row.at <= TOGETHER_NS;
        let Some(row) = self.rows.iter_mut().rev().take(LOOK_BACK).find(is_same) else { return false };
        row.who |= 1 << who;
        if let (Some(shown), Some(now)) = (row.states.get_mut(usize::from(who)), now) {
            *shown = now;
        }
        true
    }

    /// Writes it in columns.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let wide = |row: &Row| views(&row.states).len();
        let views_width = self.rows.iter().map(wide).max().unwrap_or(0).max("view".len());
        let wide = |row: &Row| executed(&row.states).len();
        let executed_width = self.rows.iter().map(wide).max().unwrap_or(0).max("executed".len());
        writeln!(out, "   time, s  {:<views_width$}  {:<executed_width$}  what", "view", "executed")?;
        for (at, row) in self.rows.iter().enumerate() {
            let is_hidden = self.rows.len() > HEAD + TAIL && (HEAD..self.rows.len() - TAIL).contains(&at);
            if is_hidden {
                if at == HEAD {
                    writeln!(out, "{:>10}  and {} more", "...", self.rows.len() - HEAD - TAIL)?;
                }
                continue;
            }
            let who = replicas(&members(row.who));
            let gap = if who.is_empty() { "" } else { ": " };
            let (time, views, executed) = (seconds(row.at), views(&row.states), executed(&row.states));
            let text = format!("{who}{gap}{}", row.text);
            writeln!(out, "{time:>10}  {views:<views_width$}  {executed:<executed_width$}  {text}")?;
        }
        Ok(())
    }
}

/// The view of each replica; `-` for one that is down, `3>4` for one that wants to go from 3 to 4.
fn views(states: &[Replica]) -> String {
    let show = |replica: &Replica| if replica.is_down { "-".to_owned() } else { event::view(replica.state) };
    if states.len() <= MOST_COLUMNS {
        return states.iter().map(show).collect::<Vec<_>>().join(" ");
    }
    range(states.iter().filter(|replica| !replica.is_down).map(|replica| replica.state.view.0))
}

/// How many slots each replica executed.
fn executed(states: &[Replica]) -> String {
    if states.len() <= MOST_COLUMNS {
        return states.iter().map(|replica| replica.state.executed.0.to_string()).collect::<Vec<_>>().join(" ");
    }
    range(states.iter().map(|replica| replica.state.executed.0))
}

fn range(values: impl Iterator<Item = u64> + Clone) -> String {
    let (Some(min), Some(max)) = (values.clone().min(), values.max()) else { return "-".to_owned() };
    if min == max { min.to_string() } else { format!("{min} to {max}") }
}

impl TraceSink for Timeline {
    fn event(&mut self, event: &TraceEvent<'_>) {
        let who = event.replica.map(|id| id.0);
        let change = who.and_then(|id| self.update(id, event));
        match event.what {
            // What the replica does then says it all.
            What::Fault(Fault::Crash { .. } | Fault::Restart { .. }) => return,
            What::Fault(_)
            | What::Calm(_)
            | What::Crashed
            | What::Restarted { .. }
            | What::Ended(_)
            | What::Restored(_) => {
                self.note(event.at, who, event::text(&event.what));
                return;
            }
            What::Recorded(Record::Evidence(evidence)) => {
                let text = format!("has evidence of kind {:?} against {}", evidence.kind(), evidence.accused());
                who.into_iter().for_each(|id| self.note_first(event.at, id, text.clone()));
            }
            _ => {}
        }
        let (Some(id), Some((before, now))) = (who, change) else { return };
        if now.target != before.target
            && let Some(target) = now.target
        {
            self.note(event.at, who, format!("wants view {}", target.0));
        }
        if now.view > before.view {
            self.note(event.at, who, format!("enters view {}", now.view.0));
        }
        if now.stable > before.stable {
            self.note_if_quiet(event.at, id, format!("has a stable checkpoint at slot {}", now.stable.0));
        }
    }
}

impl Timeline {
    /// What a replica looked like before an event, and what it looks like now.
    fn update(&mut self, id: u16, event: &TraceEvent<'_>) -> Option<(State, State)> {
        let replica = self.states.get_mut(usize::from(id))?;
        match event.what {
            What::Crashed | What::Ended(_) => replica.is_down = true,
            What::Restarted { .. } => replica.is_down = false,
            _ => {}
        }
        let now = event::state(event)?;
        let before = std::mem::replace(&mut replica.state, now);
        (self.twins >> id & 1 == 0).then_some((before, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cretoai_core::types::{ReplicaId, Slot, View};

    fn event(at: u64, id: u16, what: What<'_>, state: State) -> TraceEvent<'_> {
        TraceEvent { number: 0, at, replica: Some(ReplicaId(id)), what, state, hash: 0 }
    }

    #[test]
    fn what_several_replicas_do_together_is_one_row() {
        let mut timeline = Timeline::new(&Plan::default());
        let wants = State { target: Some(View(1)), executed: Slot(3), ..State::default() };
        timeline.event(&TraceEvent { replica: None, ..event(0, 0, What::Fault(&Fault::Heal), State::default()) });
        for (id, at) in [(1, 1_000_000), (2, 2_000_000), (3, 400_000_000)] {
            timeline.event(&event(at, id, What::Ticked(Ok(())), wants));
        }
        timeline.event(&event(500_000_000, 0, What::Crashed, State::default()));
        let mut text = Vec::new();
        timeline.write(&mut text).unwrap();
        let expected = "   time, s  view           executed  what
  0.000000  0 0 0 0        0 0 0 0   all links work
  0.001000  0 0>1 0>1 0    0 3 3 0   r1 r2: wants view 1
  0.400000  0 0>1 0>1 0>1  0 3 3 3   r3: wants view 1
  0.500000  - 0>1 0>1 0>1  0 3 3 3   r0: crashes
";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }
}
