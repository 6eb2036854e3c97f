//! What the simulated issuers know of the people whose cards they have.
//!
//! They know nobody: whoever names himself in the right form is the cardholder, but an identity
//! number whose check digit does not fit is nobody's. So a caller can bring about either answer.

/// The weights of an identity number's first seventeen digits (GB 11643, ISO 7064 MOD 11-2).
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// The check digit of each remainder.
const CHECKS: [u8; 11] = *b"10X98765432";
const ID_LENGTH: usize = 18;

/// Whether a number of an identity card has a fitting check digit. Other documents have none.
pub fn is_somebody(id_type: &str, id_number: &str) -> bool {
    let is_identity_card = id_type == "01" && id_number.len() == ID_LENGTH;
    if !is_identity_card {
        return true;
    }
    let (digits, check) = id_number.as_bytes().split_at(ID_LENGTH - 1);
    let mut sum = 0;
    for (digit, weight) in digits.iter().zip(WEIGHTS) {
        if !digit.is_ascii_digit() {
            return false;
        }
        sum += u32::from(digit - b'0') * weight;
    }
    let expected = CHECKS[(sum % 11) as usize];
    check.first().is_some_and(|given| given.to_ascii_uppercase() == expected)
}

/// Whether a mobile number has the form that all of them have.
pub fn is_mobile(text: &str) -> bool {
    text.len() == 11 && text.starts_with('1') && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_number_has_a_check_digit() {
        // The first is the standard's own example.
        assert!(is_somebody("01", "11010519491231002X"));
        assert!(is_somebody("01", "110105194912310011"));
        assert!(!is_somebody("01", "110105194912310012"));
        assert!(!is_somebody("01", "11010519491231003X"));
        assert!(!is_somebody("01", "11010519491231A011"));
        assert!(is_somebody("02", "110105194912310012"), "a passport");
        assert!(is_mobile("13800138000") && !is_mobile("23800138000") && !is_mobile("1380013800"));
    }
}
