//! What no row of an agreement may become, and the last word on them: our books and the channels'
//! name the same bound cards.

use std::collections::BTreeMap;

use switchyard::domain::agreement::{Agreement, AgreementState};
use switchyard::domain::ids::{AgreementId, ChannelOrderNo};

use crate::bindings::{BindingFate, token_text};
use crate::play;
use crate::world::State;

/// The steps that a row may take.
const fn may_become(from: AgreementState, to: AgreementState) -> bool {
    use AgreementState::{
        Active, CodeSent, CodeUnknown, Confirming, Ended, Ending, Failed, SendingCode, Unknown,
    };
    match from {
        SendingCode => matches!(to, CodeSent | CodeUnknown | Failed),
        CodeSent | CodeUnknown => matches!(to, SendingCode | Confirming),
        Confirming => matches!(to, Active | CodeSent | Unknown | Failed),
        Unknown => matches!(to, Active | CodeSent | Failed),
        Active => matches!(to, Ending),
        Ending => matches!(to, Ending | Ended | Active),
        Failed | Ended => false,
    }
}

impl State {
    /// Takes a row into the shadow, and tells what may not be written.
    pub fn agreement_written(&mut self, row: &Agreement) {
        let old = self.agreements.insert(row.id, row.clone());
        let id = row.id;
        let fits = match &old {
            None => row.version == 1 && row.state == AgreementState::SendingCode,
            Some(old) => {
                let is_same = (&old.asked, &old.channel, old.created_at)
                    == (&row.asked, &row.channel, row.created_at);
                let counts = row.version == old.version + 1
                    && row.last_call.number >= old.last_call.number
                    && row.last_call.number <= old.last_call.number + 1;
                is_same && counts && may_become(old.state, row.state)
            }
        };
        if !fits {
            self.violate(format!("I-5: agreement {id} became {row:?}, and was {old:?}"));
        }
        let has_token = matches!(row.state, AgreementState::Active | AgreementState::Ending);
        if row.token.is_some() != has_token {
            let state = row.state.name();
            self.violate(format!("I-11: agreement {id} is {state}, token: {:?}", row.token));
        }
    }
}

/// The rows of agreements against the channels' own books.
pub fn check_agreements(state: &mut State) {
    let mut found = Vec::new();
    let mut callers = BTreeMap::new();
    for row in state.agreements.values() {
        if let Some(other) = callers.insert(row.asked.caller_order_id.clone(), row.id) {
            found.push(format!("I-9: {} is {other} and {}", row.asked.caller_order_id, row.id));
        }
        found.extend(check_agreement(state, row));
    }
    for (number, wanted) in state.wanted.iter().enumerate() {
        if !state.is_at_rest(number) {
            found.push(format!("I-3: agreement {:?} does not come to rest", wanted.id));
        }
    }
    for number in state.bindings.keys() {
        if !state.agreements.contains_key(&AgreementId::of(number.order)) {
            found.push(format!("I-1: {number} is bound, and nobody knows it"));
        }
    }
    state.violations.extend(found);
}

fn check_agreement(state: &State, row: &Agreement) -> Vec<String> {
    let mut found = Vec::new();
    let of_it = state.bindings.iter().filter(|(number, _)| number.order == row.id.chain());
    let bound: Vec<ChannelOrderNo> = of_it
        .filter(|(_, one)| matches!(one.fate, BindingFate::Bound | BindingFate::Unbound))
        .map(|(number, _)| *number)
        .collect();
    let (id, is) = (row.id, row.state.name());
    let ours = row.confirmation.map(|call| row.channel_order_no(call));
    let live = ours.filter(|number| state.bindings[number].fate == BindingFate::Bound);
    let fits = match row.state {
        // Its holder may have ended it at the channel.
        AgreementState::Active | AgreementState::Ending => bound == Vec::from_iter(ours),
        AgreementState::Ended => bound == Vec::from_iter(ours) && live.is_none(),
        // One that was bound was told so when its token was void already.
        AgreementState::Failed => live.is_none(),
        AgreementState::SendingCode
        | AgreementState::CodeSent
        | AgreementState::CodeUnknown
        | AgreementState::Confirming
        | AgreementState::Unknown => bound.is_empty(),
    };
    if !fits || bound.len() > 1 {
        found.push(format!("agreement {id} is {is}, and the channel has bound {bound:?}: {row:?}"));
    }
    if let Some(sealed) = &row.token {
        let opened = play::vault(0).open_token(id, sealed);
        let is_its = opened
            .as_ref()
            .zip(ours)
            .is_some_and(|(token, ours)| token.expose() == token_text(ours));
        let ends_at = ours.and_then(|ours| state.bindings[&ours].ends_at);
        if !is_its || row.ends_at != ends_at {
            found.push(format!("agreement {id} has another token, or another end, than its own"));
        }
    }
    found
}
