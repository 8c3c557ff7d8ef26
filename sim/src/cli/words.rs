//! Plans, faults and numbers in words.

use crate::plan::{Behaviour, Fault};
use serde::Serialize;
use serde_json::Value;

/// The name of a variant as files write it.
pub(super) fn name_of<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(table)) => table.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// Time in nanoseconds as seconds: `12.345678`.
pub(super) fn seconds(ns: u64) -> String {
    format!("{}.{:06}", ns / 1_000_000_000, ns / 1000 % 1_000_000)
}

/// A span of time in nanoseconds: `1.5 s`, `30 ms`, `30.25 ms`, `7 us`.
pub(super) fn span(ns: u64) -> String {
    let (unit, name) = match ns {
        1_000_000_000.. => (1_000_000_000, "s"),
        1_000_000.. => (1_000_000, "ms"),
        _ => (1000, "us"),
    };
    let text = format!("{}.{:03}", ns / unit, ns % unit * 1000 / unit);
    format!("{} {name}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A span of time in microseconds.
pub(super) fn span_us(us: u64) -> String {
    span(us.saturating_mul(1000))
}

/// A number with a comma after every three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 seed`, `2 seeds`.
pub(super) fn count(number: u64, what: &str) -> String {
    format!("{} {what}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A share in thousandths, as per cent.
pub(super) fn per_cent(per_mille: u32) -> String {
    let tenth = if per_mille.is_multiple_of(10) { String::new() } else { format!(".{}", per_mille % 10) };
    format!("{}{tenth} %", per_mille / 10)
}

/// `r0 r2`.
pub(super) fn replicas(list: &[u16]) -> String {
    let names: Vec<String> = list.iter().map(|id| format!("r{id}")).collect();
    names.join(" ")
}

/// The replicas of a set.
pub(super) fn members(set: u128) -> Vec<u16> {
    (0..128).filter(|id| set >> id & 1 == 1).collect()
}

fn some_or_all(list: &[u16]) -> String {
    if list.is_empty() { "all".to_owned() } else { replicas(list) }
}

/// What a fault does.
pub(super) fn fault(fault: &Fault) -> String {
    match fault {
        Fault::Partition { groups } => {
            let groups: Vec<String> = groups.iter().map(|group| replicas(group)).collect();
            format!("partition: {}", groups.join(" | "))
        }
        Fault::Cut { from, to } => format!("links cut: from {} to {}", some_or_all(from), some_or_all(to)),
        Fault::Connect { from, to } => format!("links connected: from {} to {}", some_or_all(from), some_or_all(to)),
        Fault::Isolate { replica } => format!("all links of r{replica} cut"),
        Fault::Heal => "all links work".to_owned(),
        Fault::Crash { replica } => format!("crash of r{replica}"),
        Fault::Restart { replica } => format!("restart of r{replica}"),
        Fault::Pause { replica } => format!("r{replica} pauses"),
        Fault::Resume { replica } => format!("r{replica} goes on"),
        Fault::PowerLoss { restart_after_us } => {
            format!("power loss; all restart after {}", span_us(*restart_after_us))
        }
        Fault::Wipe { replica } => format!("the disk of r{replica} is emptied"),
        Fault::Rot { replica } => format!("a frame on the disk of r{replica} goes bad"),
        Fault::FailSync { replica } => format!("the next fsync of r{replica} fails"),
        Fault::FillDisk { replica } => format!("the disk of r{replica} is full"),
        Fault::FlipState { replica } => format!("a bit of the application state of r{replica} flips"),
        Fault::SetClock { replica, skew_us } => {
            let word = if *skew_us < 0 { "behind" } else { "ahead" };
            format!("the clock of r{replica} jumps: {} {word}", span_us(skew_us.unsigned_abs()))
        }
        Fault::SlowDisks { sync_us } => format!("disks take {}", span_us(*sync_us)),
        Fault::EnableRule { name } => format!("rule `{name}` comes into force"),
        Fault::DisableRule { name } => format!("rule `{name}` ends"),
        other => name_of(other).replace('-', " "),
    }
}

/// What a Byzantine replica does.
pub(super) fn behaviour(behaviour: &Behaviour) -> String {
    match behaviour {
        Behaviour::CrashStop { at_us } => format!("stops for good at {}", span_us(*at_us)),
        Behaviour::EquivocatingPrimary { per_mille, .. } => {
            format!("equivocates as primary, in {} of its slots", per_cent(*per_mille))
        }
        Behaviour::Mutator { per_mille, .. } => format!("mutates {} of its messages", per_cent(*per_mille)),
        Behaviour::Delayer { delay_us, .. } => format!("delays what it sends by {}", span_us(*delay_us)),
        Behaviour::Censor { authors, clients } if clients.is_empty() => format!("censors {}", replicas(authors)),
        Behaviour::SlowPrimary { pause_us } => format!("proposes once in {}, as primary", span_us(*pause_us)),
        Behaviour::CheckpointLiar { lie } => format!("lies about checkpoints: {}", name_of(lie)),
        Behaviour::TransferLiar { lie } => format!("serves wrong states: {}", name_of(lie)),
        Behaviour::SmallScope { mutations } => {
            format!("says {} otherwise", count(mutations.len() as u64, "message"))
        }
        Behaviour::NewViewLiar { lie } => format!("lies in its NEW-VIEWs: {}", name_of(lie)),
        Behaviour::ViewChangeLiar { lie, .. } => format!("lies in its VIEW-CHANGEs: {}", name_of(lie)),
        Behaviour::Impostor { per_mille } => {
            format!("answers {} of what it hears in the name of who said it", per_cent(*per_mille))
        }
        Behaviour::DagLiar { per_mille } => format!("lies in {} of its vertices", per_cent(*per_mille)),
        Behaviour::Amnesiac { at_us } => format!("loses its disk {} times", at_us.len()),
        other => name_of(other).replace('-', " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
        assert_eq!(span(30_250_000), "30.25 ms");
        assert_eq!(span(2_000_000_000), "2 s");
        assert_eq!(span(7_000), "7 us");
        assert_eq!(seconds(12_345_678_901), "12.345678");
        assert_eq!((per_cent(25), per_cent(1000)), ("2.5 %".to_owned(), "100 %".to_owned()));
        assert_eq!((count(1, "seed"), count(0, "seed")), ("1 seed".to_owned(), "0 seeds".to_owned()));
    }

    #[test]
    fn faults_and_behaviours_are_sentences() {
        let partition = Fault::Partition { groups: vec![vec![0, 1], vec![2]] };
        assert_eq!(fault(&partition), "partition: r0 r1 | r2");
        assert_eq!(fault(&Fault::Cut { from: vec![], to: vec![3] }), "links cut: from all to r3");
        assert_eq!(behaviour(&Behaviour::DoubleVoter), "double voter");
        assert_eq!(name_of(&Behaviour::Censor { authors: vec![1], clients: vec![] }), "censor");
    }
}
