//! The lines of one number, taken together. None of them proves anything by itself: the same
//! statement may have the payment and its reversal, or a failed try and the one that succeeded.

use crate::domain::attempt::Operation;
use crate::domain::books::reconcile::{Item, Status, is_same_operation};
use crate::domain::money::Currency;

/// The operation and amount that were ordered under the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderedAmount {
    pub movement: Operation,
    /// Positive, in minor units.
    pub amount_minor: i64,
    pub currency: Currency,
}

/// The proof that the lines give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    Succeeded,
    Failed,
    /// The order succeeded and was taken back as a whole.
    TakenBack,
    /// They are of something else, or do not come to one end.
    Nothing,
}

/// Nets the lines of one number, with the amounts that are written on them: a failure's too.
///
/// A line of another amount or currency is not about what was asked for, whatever its number says.
/// A success and a failure, or two successes, do not say which of them holds.
pub fn net(lines: &[Item], asked: &OrderedAmount) -> Proof {
    let (mut succeeded, mut failed, mut taken_back) = (0_u32, 0_u32, 0_u32);
    for line in lines {
        if line.currency != asked.currency {
            return Proof::Nothing;
        }
        let is_whole = line.amount_minor.unsigned_abs() == asked.amount_minor.unsigned_abs();
        // Neither a failure nor a hold moves money: some channels write the amount that was asked
        // for.
        let may_be_nothing = line.status == Status::Failed || asked.movement.sign() == 0;
        if !(is_whole || may_be_nothing && line.amount_minor == 0) {
            return Proof::Nothing;
        }
        let is_own = is_same_operation(line.movement, asked.movement);
        let is_back = asked.movement.sign() >= 0 && line.movement.sign() < 0;
        match (line.status, is_own, is_back) {
            (Status::Succeeded, true, _) => succeeded += 1,
            (Status::Failed, true, _) => failed += 1,
            (Status::Succeeded, false, true) => taken_back += 1,
            // A reversal that failed, or another operation.
            (Status::Failed, false, true) | (_, false, false) => return Proof::Nothing,
        }
    }
    match (succeeded, failed, taken_back) {
        (1, 0, 0) => Proof::Succeeded,
        (0, 1.., 0) => Proof::Failed,
        (1, 0, 1) => Proof::TakenBack,
        (_, _, _) => Proof::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(movement: Operation, amount_minor: i64, status: Status) -> Item {
        let (fee_minor, currency) = (None, Currency::Cny);
        Item { movement, amount_minor, fee_minor, currency, status, date: None }
    }

    #[test]
    fn lines_of_one_number_prove_what_they_come_to() {
        use Operation::{Capture, Payment, Refund, Void};
        use Status::{Failed, Succeeded};
        let (paid, failed) = (item(Payment, 500, Succeeded), item(Payment, 500, Failed));
        let (nothing, less) = (item(Payment, 0, Failed), item(Payment, 5, Succeeded));
        let (back, part) = (item(Void, -500, Succeeded), item(Refund, -100, Succeeded));
        let foreign = Item { currency: Currency::Hkd, ..paid };
        let rows: [(&[Item], Proof); 16] = [
            (&[paid], Proof::Succeeded),
            (&[failed], Proof::Failed),
            (&[nothing, failed], Proof::Failed),
            (&[paid, back], Proof::TakenBack),
            (&[back, paid], Proof::TakenBack),
            (&[], Proof::Nothing),
            (&[less], Proof::Nothing),
            (&[item(Payment, 7, Failed)], Proof::Nothing),
            (&[item(Payment, 0, Succeeded)], Proof::Nothing),
            (&[foreign], Proof::Nothing),
            (&[paid, failed], Proof::Nothing),
            (&[failed, paid], Proof::Nothing),
            (&[paid, paid], Proof::Nothing),
            (&[paid, part], Proof::Nothing),
            (&[paid, item(Void, -500, Failed)], Proof::Nothing),
            (&[paid, item(Capture, 500, Succeeded)], Proof::Nothing),
        ];
        let asked = OrderedAmount { movement: Payment, amount_minor: 500, currency: Currency::Cny };
        for (lines, proof) in rows {
            assert_eq!(net(lines, &asked), proof, "{lines:?}");
        }
        // A line that gives money back is not cancelled by another such line.
        let asked = OrderedAmount { movement: Refund, ..asked };
        assert_eq!(net(&[item(Refund, -500, Succeeded)], &asked), Proof::Succeeded);
        assert_eq!(net(&[item(Refund, -500, Succeeded), back], &asked), Proof::Nothing);
        assert_eq!(net(&[paid], &asked), Proof::Nothing);
        // A hold is listed with its amount, or with none.
        let asked = OrderedAmount { movement: Operation::Preauth, ..asked };
        for amount in [0, 500] {
            let hold = item(Operation::Preauth, amount, Succeeded);
            assert_eq!(net(&[hold], &asked), Proof::Succeeded);
        }
    }
}
