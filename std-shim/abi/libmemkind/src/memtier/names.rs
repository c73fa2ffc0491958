//! The names of choices, such as `policy.dynamic_threshold.thresholds[0].val`.

/// A choice of the policy with thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// How many allocations lie between two looks at the ratio.
    CheckCount,
    /// From which deviation on the thresholds move.
    Trigger,
    /// By which part of themselves they move.
    Degree,
    /// A threshold, or its bounds.
    Value(usize),
    Least(usize),
    Most(usize),
}

impl Choice {
    /// What a name means.
    pub(super) fn of(name: &str) -> Option<Choice> {
        let name = name.strip_prefix("policy.dynamic_threshold.")?;
        match name {
            "check_cnt" => return Some(Choice::CheckCount),
            "trigger" => return Some(Choice::Trigger),
            "degree" => return Some(Choice::Degree),
            _ => {}
        }
        let (number, field) = name.strip_prefix("thresholds[")?.split_once("].")?;
        let number = number.parse().ok()?;
        match field {
            "val" => Some(Choice::Value(number)),
            "min" => Some(Choice::Least(number)),
            "max" => Some(Choice::Most(number)),
            _ => None,
        }
    }
}
