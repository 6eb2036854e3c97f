//! Card data under a channel's public key, and envelopes: OpenSSL opens what we close.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::support::{Scratch, witnesses};
use super::*;

fn write(folder: &Path, name: &str, base64: &serde_json::Value) {
    let bytes = BASE64.decode(base64.as_str().expect("a text")).expect("base64");
    std::fs::write(folder.join(name), bytes).expect("a file");
}

#[test]
fn an_envelope_has_a_new_key_under_the_channel_s() {
    if witnesses::is_left_out(!witnesses::has_openssl(), "the openssl command") {
        return;
    }
    let town = Scratch::new();
    let folder = town.path();
    openssl(folder, "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.pem");
    openssl(folder, "pkey -in rsa.pem -pubout -out rsa.pub");
    openssl(folder, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2 -out sm2.pem");
    openssl(folder, "pkey -in sm2.pem -pubout -out sm2.pub");
    let rows = [
        ("rsa-pkcs1", "rsa", "-pkeyopt rsa_padding_mode:pkcs1"),
        ("rsa-oaep-sha1", "rsa", "-pkeyopt rsa_padding_mode:oaep"),
        ("sm2", "sm2", ""),
    ];
    for (under, key, option) in rows {
        let text = format!(
            r#"
encrypt = {{ algorithm = "sm4-cbc", key = "file:{key}.pub", key_under = "{under}" }}
[http.payment]
path = "/pay"
reply = {{ code = "/code" }}
[http.payment.body]
key = "{{{{ envelope_key }}}}"
card = "{{{{ {{'no': card.number, 'cvv': card.cvv}} | tojson | encrypted }}}}"
name = "{{{{ card.holder | encrypted }}}}"
"#
        );
        let bank = read_in(folder, &text).unwrap_or_else(|found| panic!("{found:#?}"));
        let open = || {
            let wire = sent(&bank, &payment());
            let message: serde_json::Value = serde_json::from_slice(&wire.body).expect("JSON");
            write(folder, "key.bin", &message["key"]);
            let unwrap = format!("pkeyutl -decrypt -inkey {key}.pem -in key.bin {option}");
            let secret: String = openssl(folder, unwrap.trim_end())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let plain = |name: &str| {
                let sealed = BASE64.decode(message[name].as_str().expect("a text"));
                let sealed = sealed.expect("base64");
                let vector: String =
                    sealed[..16].iter().map(|byte| format!("{byte:02x}")).collect();
                std::fs::write(folder.join("sealed.bin"), &sealed[16..]).expect("a file");
                let opened = openssl(
                    folder,
                    &format!("enc -d -sm4-cbc -K {secret} -iv {vector} -in sealed.bin"),
                );
                String::from_utf8(opened).expect("text")
            };
            // Both values of one request are under its one key.
            assert_eq!(plain("card"), r#"{"cvv":"123","no":"4111111111111111"}"#, "{under}");
            assert_eq!(plain("name"), "HOLDER");
            secret
        };
        assert_ne!(open(), open(), "{under}: each request has a key of its own");
    }
    let stray = "[http.payment]\npath = \"/pay\"\nreply = { code = \"/code\" }\n\
                 body = { k = \"{{ envelope_key }}\" }\n";
    assert!(refused(stray).contains("is of encrypt.key_under, which is not there"));
}

#[test]
fn a_card_is_encrypted_by_sm2() {
    if witnesses::is_left_out(!witnesses::has_openssl(), "the openssl command") {
        return;
    }
    let town = Scratch::new();
    let folder = town.path();
    openssl(folder, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2 -out sm2.pem");
    openssl(folder, "pkey -in sm2.pem -pubout -out sm2.pub");
    let text = r#"
encrypt = { algorithm = "sm2", key = "file:sm2.pub" }
[http.payment]
path = "/pay"
body = { card = "{{ card.number | encrypted }}" }
reply = { code = "/code" }
"#;
    let bank = read_in(folder, text).unwrap_or_else(|found| panic!("{found:#?}"));
    let wire = sent(&bank, &payment());
    let message: serde_json::Value = serde_json::from_slice(&wire.body).expect("JSON");
    write(folder, "card.bin", &message["card"]);
    let opened = openssl(folder, "pkeyutl -decrypt -inkey sm2.pem -in card.bin");
    assert_eq!(opened, b"4111111111111111");
}
