//! What follows from the words of those who are asked, and who is still to be told. It must not know how anybody is asked.

use super::{Answer, Turn};
use crate::plan::HookPoint;
use crate::state::{MAX_OWED, Owed, Phase, Reason};

/// So often somebody is told before it is given up.
const TRIES: u32 = 10;

impl Turn<'_> {
    pub(super) fn answer(&self, at: usize) -> Option<&Answer> {
        self.input.answers.iter().find(|(of, _)| *of == at).map(|(_, answer)| answer)
    }

    /// Hooks of a point with what they said.
    fn said(&self, point: HookPoint) -> impl Iterator<Item = (&str, Option<&Answer>)> {
        let hooks = self.plan.hooks.iter().enumerate().filter(move |(_, hook)| hook.point == point);
        hooks.map(|(at, hook)| (hook.name.as_str(), self.answer(at)))
    }

    /// Whether this one is only told.
    pub(super) fn is_told(&self, at: usize) -> bool {
        let point = self.plan.hooks.get(at).map(|hook| hook.point);
        matches!(point, Some(HookPoint::Promoted | HookPoint::RolledBack))
    }

    /// Who says no, and why.
    pub(super) fn refused(&self, point: HookPoint) -> Option<String> {
        self.said(point).find_map(|(name, answer)| match answer {
            Some(Answer::No(why)) => Some(format!("{name}: {why}")),
            Some(Answer::Yes | Answer::Missing(_)) | None => None,
        })
    }

    /// Who gave no answer, and why.
    pub(super) fn unheard(&self, point: HookPoint) -> Option<String> {
        self.said(point).find_map(|(name, answer)| match answer {
            Some(Answer::Missing(why)) => {
                Some(format!("{name} gives no answer: no step is taken until it does ({why})"))
            }
            Some(Answer::Yes | Answer::No(_)) | None => None,
        })
    }

    /// Whether all hooks of the point say yes; it is told once who does not.
    pub(super) fn is_allowed(&mut self, point: HookPoint) -> bool {
        if let Some(text) = self.refused(point).or_else(|| self.unheard(point)) {
            self.say_once(Reason::HookHolds, text);
            return false;
        }
        self.said(point).all(|(_, answer)| answer == Some(&Answer::Yes))
    }

    /// An end that is to be told.
    pub(super) fn owe(&mut self, message: String) {
        let point =
            if self.state.phase == Phase::Promoted { HookPoint::Promoted } else { HookPoint::RolledBack };
        if self.said(point).next().is_none() {
            return;
        }
        let version = self.state.version.clone();
        self.state.owed.push(Owed { point, version, message, tries: 0 });
        let too_many = self.state.owed.len().saturating_sub(MAX_OWED);
        self.state.owed.drain(..too_many);
    }

    /// Ends that were told, or that it is no use to tell any more.
    pub(super) fn tell(&mut self) {
        let Some(owed) = self.state.owed.first().cloned() else { return };
        let answers: Vec<_> = self.said(owed.point).map(|(_, answer)| answer).collect();
        if answers.iter().any(Option::is_none) {
            return;
        }
        let unheard = self.unheard(owed.point);
        let tries = owed.tries + 1;
        match (unheard, self.state.owed.first_mut()) {
            (Some(_), Some(first)) if tries < TRIES => first.tries = tries,
            (Some(text), _) => {
                self.state.owed.remove(0);
                let text = format!("how version {} ended was not told: {text}", owed.version);
                self.mention(Reason::HookUnheard, text);
            }
            (None, _) => {
                self.state.owed.remove(0);
            }
        }
    }
}
