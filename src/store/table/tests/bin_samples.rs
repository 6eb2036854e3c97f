//! Proposals to the BIN table, of every fact and state.

use super::draw::Draw;
use super::samples::{first_id, moment};
use super::{SampleTable, head_fits};
use crate::domain::bin::proposal::{
    BinEvidence, BinEvidenceSource, BinFact, BinProposal, BinProposalDecision, BinProposalId,
    BinProposalState, EVIDENCE_MAX,
};
use crate::domain::bin::{Bin, CardType};
use crate::domain::ids::ChannelId;
use crate::store::table::bin_proposal::BinProposals;

impl Draw {
    fn bin_proposal(&mut self) -> BinProposal {
        let state = self.of(&BinProposalState::ALL);
        let decision = || -> Option<Option<u32>> {
            match state {
                BinProposalState::Accepted => Some(Some(7)),
                BinProposalState::Refused => Some(None),
                BinProposalState::Open | BinProposalState::Overtaken => None,
            }
        };
        BinProposal {
            id: BinProposalId {
                bin: self.bin(),
                pan_length: self.random.u8(12..=19),
                fact: self.of(&BinFact::ALL),
            },
            version: self.random.u32(..),
            state,
            table_says: self.of(&CardType::ALL),
            bin_table: self.random.u32(..),
            evidence: self.several(EVIDENCE_MAX, |draw| BinEvidence {
                source: draw.of(&BinEvidenceSource::ALL),
                order: draw.id(),
                channel: draw.channel(),
                at: draw.time(),
                told: draw.text(60),
            }),
            orders: self.random.u32(..),
            newest: self.id(),
            opened_at: self.time(),
            changed_at: self.time(),
            decision: decision().map(|bin_table| BinProposalDecision {
                by: self.word(),
                at: self.time(),
                reason: self.text(30),
                bin_table,
            }),
        }
    }
}

/// One for each state, the first with evidence of both kinds.
fn proposals() -> Vec<BinProposal> {
    let evidence = |source, told: &str| BinEvidence {
        source,
        order: first_id(),
        channel: ChannelId::from_stored("unionpay"),
        at: moment(3),
        told: told.to_owned(),
    };
    let proposal = |bin: &str, fact, state, bin_table: Option<u32>| BinProposal {
        id: BinProposalId { bin: Bin::parse(bin).expect("a BIN"), pan_length: 19, fact },
        version: 2,
        state,
        table_says: CardType::Debit,
        bin_table: 4,
        evidence: vec![
            evidence(BinEvidenceSource::Fee, "it charges 60"),
            evidence(BinEvidenceSource::Refusal, "no such card"),
        ],
        orders: 12,
        newest: first_id(),
        opened_at: moment(1),
        changed_at: moment(4),
        decision: bin_table.or((state == BinProposalState::Refused).then_some(0)).map(|_| {
            BinProposalDecision {
                by: "ann".to_owned(),
                at: moment(4),
                reason: "the issuer's letter".to_owned(),
                bin_table,
            }
        }),
    };
    vec![
        proposal("621626", BinFact::Credit, BinProposalState::Open, None),
        proposal("62162601", BinFact::Retired, BinProposalState::Accepted, Some(5)),
        proposal("622848", BinFact::Prepaid, BinProposalState::Refused, None),
        proposal("62", BinFact::QuasiCredit, BinProposalState::Overtaken, None),
    ]
}

impl SampleTable for BinProposals {
    fn fixed() -> Vec<BinProposal> {
        proposals()
    }

    fn draw(draw: &mut Draw) -> BinProposal {
        draw.bin_proposal()
    }

    fn hold(row: &BinProposal) {
        head_fits::<Self>(row);
    }
}
