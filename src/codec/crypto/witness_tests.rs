//! OpenSSL's command line as an independent witness: what it makes we read, and the other way
//! round. Where it is missing these tests say that they were left out; `.ci/run` demands it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::cipher::{BlockCipher, BlockKey, Mode, OaepDecryptor, OaepDigest, OaepEncryptor};
use super::digest::Digest;
use super::sm2::{Sm2Form, Sm2Signer, Sm2Verifier, USUAL_USER_ID};
use crate::codec::sample_keys::merchant_key;
use crate::codec::sign::{RsaScheme, RsaSigner, RsaVerifier, hex_lower};

const TEXT: &[u8] = "订单 261122001000000000701 & more".as_bytes();

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.0.path().join(name), bytes).expect("written");
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}

/// Whether there is no witness. Published vectors are checked beside these tests in any case.
fn is_left_out() -> bool {
    let missing = Command::new("openssl").arg("version").output().is_err();
    let demanded = std::env::var_os("SWITCHYARD_WITNESSES").is_some();
    assert!(!(missing && demanded), "the openssl command is missing, and .ci/run demands it");
    if missing {
        eprintln!("left out: there is no openssl command to compare with");
    }
    missing
}

/// Runs `openssl` on `input`; whether it succeeded, and what it wrote.
fn run(arguments: &[&str], input: &[u8]) -> (bool, Vec<u8>) {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program openssl is installed: it is the witness of these tests");
    let mut stdin = child.stdin.take().expect("it was asked for");
    // A program that does not read its input is no fault of ours.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    (output.status.success(), output.stdout)
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let (succeeded, output) = run(arguments, input);
    assert!(succeeded, "openssl {arguments:?}");
    output
}

#[test]
fn openssl_makes_the_same_digests() {
    if is_left_out() {
        return;
    }
    let rows = [
        (Digest::Md5, "-md5"),
        (Digest::Sha1, "-sha1"),
        (Digest::Sha256, "-sha256"),
        (Digest::Sm3, "-sm3"),
    ];
    for (digest, name) in rows {
        for length in [0, 1, 55, 56, 63, 64, 65, 1_000] {
            let text = TEXT.iter().copied().cycle().take(length).collect::<Vec<_>>();
            assert_eq!(openssl(&["dgst", name, "-binary"], &text), digest.of(&[&text]), "{name}");
            let keyed = openssl(&["dgst", name, "-hmac", "a key", "-binary"], &text);
            assert_eq!(keyed, digest.hmac(b"a key", &[&text]), "{name} keyed");
        }
    }
}

#[test]
fn openssl_and_we_verify_each_other_s_sm2_signatures() {
    if is_left_out() {
        return;
    }
    let folder = Folder::new();
    let (key, public) = (folder.path("key.pem"), folder.path("public.pem"));
    openssl(&["genpkey", "-algorithm", "SM2", "-out", &key], b"");
    openssl(&["pkey", "-in", &key, "-pubout", "-out", &public], b"");
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).expect("openssl wrote it");
    let text = folder.put("text", TEXT);
    for user_id in [USUAL_USER_ID, "a bank's own id"] {
        let id = format!("distid:{user_id}");
        let signer = Sm2Signer::parse(&read(&key), user_id).expect("openssl's private key");
        let verifier = Sm2Verifier::parse(&read(&public), user_id).expect("its public key");
        let theirs = openssl(
            &[
                "pkeyutl", "-sign", "-in", &text, "-rawin", "-digest", "sm3", "-inkey", &key,
                "-pkeyopt", &id,
            ],
            b"",
        );
        assert_eq!(verifier.verify(TEXT, &theirs, Sm2Form::Der), Ok(()));
        for (name, message, fits) in [("good", TEXT, true), ("bad", &TEXT[1..], false)] {
            let signature = folder.put(name, &signer.sign(message, Sm2Form::Der));
            let (verified, _) = run(
                &[
                    "pkeyutl", "-verify", "-in", &text, "-rawin", "-digest", "sm3", "-inkey",
                    &public, "-pubin", "-sigfile", &signature, "-pkeyopt", &id,
                ],
                b"",
            );
            assert_eq!(verified, fits, "{name} under {user_id}");
        }
    }
    let traditional = openssl(&["ec", "-in", &key], b"");
    let text = String::from_utf8(traditional).expect("PEM");
    assert!(!text.contains("BEGIN PRIVATE KEY"), "SEC 1 is what this is about");
    let same = Sm2Signer::parse(&text, USUAL_USER_ID).expect("SEC 1");
    let signer = Sm2Signer::parse(&read(&key), USUAL_USER_ID).expect("PKCS#8");
    assert_eq!(same.public_key(), signer.public_key());
}

#[test]
fn openssl_and_we_read_each_other_s_fields() {
    if is_left_out() {
        return;
    }
    let rows = [
        (BlockCipher::Sm4, Mode::Ecb, "-sm4-ecb", 16),
        (BlockCipher::Sm4, Mode::Cbc, "-sm4-cbc", 16),
        (BlockCipher::Aes, Mode::Ecb, "-aes-128-ecb", 16),
        (BlockCipher::Aes, Mode::Cbc, "-aes-256-cbc", 32),
    ];
    for (block, mode, name, length) in rows {
        let secret: Vec<u8> = (1..=length).collect();
        let key = BlockKey::new(block, mode, &secret).expect("a key");
        let vector = vec![9; mode.vector_bytes()];
        let (secret, shown) = (hex_lower(&secret), hex_lower(&vector));
        let mut arguments = vec!["enc", name, "-K", &secret];
        if mode == Mode::Cbc {
            arguments.extend(["-iv", &shown]);
        }
        let theirs = openssl(&arguments, TEXT);
        assert_eq!(theirs, key.encrypt(&vector, &[], TEXT).expect("encrypted"), "{name}");
        assert_eq!(&**key.decrypt(&vector, &[], &theirs).expect("ours"), TEXT);
    }
}

#[test]
fn openssl_and_we_agree_on_rsa() {
    if is_left_out() {
        return;
    }
    let folder = Folder::new();
    let pem = merchant_key().serialize_pem();
    let key = folder.put("key.pem", pem.as_bytes());
    let public = folder.put("public.pem", merchant_key().public_key_pem().as_bytes());
    let text = folder.put("text", TEXT);
    let signer = RsaSigner::from_pem(&pem).expect("a key");
    let der = signer.public_key_der();
    for (scheme, options) in [
        (RsaScheme::Pkcs1, &[][..]),
        (
            RsaScheme::Pss,
            &["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"][..],
        ),
    ] {
        let verifier = RsaVerifier::from_der_for(scheme, &der).expect("a key");
        let sign = [&["dgst", "-sha256", "-sign", &key][..], options, &[&text]].concat();
        assert_eq!(verifier.verify(TEXT, &openssl(&sign, b"")), Ok(()), "{scheme:?}");
        let signature = folder.put("signature", &signer.sign_as(scheme, TEXT));
        let verify = [
            &["dgst", "-sha256", "-verify", &public, "-signature", &signature][..],
            options,
            &[&text],
        ]
        .concat();
        openssl(&verify, b"");
    }
    for (digest, name) in [(OaepDigest::Sha1, "sha1"), (OaepDigest::Sha256, "sha256")] {
        let padding = ["rsa_padding_mode:oaep".to_owned(), format!("rsa_oaep_md:{name}")];
        let options = ["-pkeyopt", &padding[0], "-pkeyopt", &padding[1]];
        let ours = OaepEncryptor::from_der(&der, digest).expect("a key").encrypt(TEXT);
        let ours = folder.put("ours", &ours.expect("short enough"));
        let decrypt =
            [&["pkeyutl", "-decrypt", "-inkey", &key, "-in", &ours][..], &options].concat();
        assert_eq!(openssl(&decrypt, b""), TEXT, "{name}");
        let encrypt =
            [&["pkeyutl", "-encrypt", "-pubin", "-inkey", &public, "-in", &text][..], &options]
                .concat();
        let theirs = openssl(&encrypt, b"");
        let decryptor = OaepDecryptor::from_pem(&pem, digest).expect("a key");
        assert_eq!(&**decryptor.decrypt(&theirs).expect("ours"), TEXT, "{name}");
    }
}
