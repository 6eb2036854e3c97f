//! A channel that asks for our certificate.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use switchyard::channel::registry::check_file;
use switchyard::channel::transport::http::{HttpTransport, Timeouts};
use switchyard::channel::transport::tls::{client_config, client_config_as};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Scratch, witnesses};
use super::*;

#[tokio::test]
async fn a_channel_sees_our_certificate_or_no_request() {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).expect("an authority");
    let issuer = Issuer::from_params(&params, &key);
    let issue = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        (params.signed_by(&key, &issuer).expect("a certificate"), key)
    };
    let ((theirs, their_key), (ours, our_key)) = (issue("localhost"), issue("merchant"));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone()).expect("a root");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .expect("a verifier");
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the usual versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![theirs.der().clone()],
            PrivateKeyDer::try_from(their_key.serialize_der()).expect("a key"),
        )
        .expect("a certificate with its key");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        // Until the test ends.
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut seen = [0; 1_024];
            let _ = stream.read(&mut seen).await;
            let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            let _ = stream.write_all(reply).await;
            let _ = stream.flush().await;
        }
    });
    let patience = Duration::from_secs(30);
    let timeouts = Timeouts { connect: patience, reply: patience, idle: patience };
    let wire = || WireRequest {
        method: http::Method::POST,
        url: format!("https://localhost:{port}/pay"),
        headers: Vec::new(),
        body: Bytes::from_static(b"amount=1"),
        signature: String::new(),
    };
    let identity = format!("{}{}", ours.pem(), our_key.serialize_pem());
    let pems = [root.pem()];
    let with = client_config_as(Some(&identity), &pems).expect("an identity");
    let reply = HttpTransport::new(timeouts, with).send(wire()).await.expect("a reply");
    assert_eq!((reply.status, &reply.body[..]), (200, &b"ok"[..]));
    let without = client_config(&pems).expect("roots");
    assert!(HttpTransport::new(timeouts, without).send(wire()).await.is_err());
    let other = KeyPair::generate().expect("a key").serialize_pem();
    let mixed = format!("{}{other}", ours.pem());
    assert!(client_config_as(Some(&mixed), &pems).is_err(), "the key of another certificate");
}

/// `channel check` reads both, and tells when the certificate ends.
#[test]
fn a_file_names_the_certificate_and_its_key() {
    let folder = Scratch::new();
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["merchant".to_owned()]).expect("a name");
    let own = params.self_signed(&key).expect("a certificate");
    let whole = format!("{}{}", own.pem(), key.serialize_pem());
    std::fs::write(folder.path().join("own.pem"), whole).expect("a file");
    std::fs::write(folder.path().join("half.pem"), own.pem()).expect("a file");
    std::fs::write(folder.path().join("shared.key"), KEY).expect("a file");
    let shipped = include_str!("../../channels/harbour-bank.toml")
        .replace("env:HARBOUR_BANK_KEY", "file:shared.key")
        .replace("state = \"contracted\"", "state = \"testing\"");
    let file = folder.path().join("bank.toml");
    let check = |keys: &str| {
        let text = shipped.replacen("protocol =", &format!("{keys}\nprotocol ="), 1);
        std::fs::write(&file, text).expect("a file");
        check_file(&file).map_err(|found| words(&found))
    };
    let (_, terms) = check("tls_identity = \"file:own.pem\"").expect("it is right");
    let uses: Vec<&str> = terms.iter().map(|term| term.usage.name()).collect();
    assert_eq!(uses, ["client"]);
    let wrong = check("tls_identity = \"file:half.pem\"").expect_err("no key");
    assert!(wrong[0].contains("no PEM private key"), "{wrong:?}");
    // The manual's way from a PKCS#12 file, which says itself what to do with it.
    if witnesses::is_left_out(!witnesses::has_openssl(), "the openssl command") {
        return;
    }
    let make = "pkcs12 -export -in own.pem -inkey own.pem -out own.p12 -passout pass:secret";
    openssl(folder.path(), make);
    let wrong = check("tls_identity = \"file:own.p12\"").expect_err("no text");
    assert!(wrong[0].contains("openssl pkcs12 -in FILE -nodes -out PEM"), "{wrong:?}");
    openssl(folder.path(), "pkcs12 -in own.p12 -nodes -out made.pem -passin pass:secret");
    let (_, again) = check("tls_identity = \"file:made.pem\"").expect("it is right");
    assert_eq!(again, terms);
}
