//! OCSP answers, stapled to handshakes.

use std::{fs, path::Path, process::Command, sync::Arc, time::Duration};

use rcgen::{CustomExtension, ExtendedKeyUsagePurpose};
use serde_json::json;

use crate::harness::{Authority, TestGateway, TestTarget, full, s_client};

const PATIENCE: Duration = Duration::from_secs(60);

/// An authority, its deputy and a stranger, as files.
fn cast(folder: &Path) -> Authority {
    let (authority, stranger) = (Authority::new(), Authority::named("stranger"));
    for (name, one) in [("authority", &authority), ("stranger", &stranger)] {
        fs::write(folder.join(format!("{name}.crt")), &one.pem).unwrap();
        fs::write(folder.join(format!("{name}.key")), one.key()).unwrap();
    }
    let purpose = vec![ExtendedKeyUsagePurpose::OcspSigning];
    authority.vouch_with("deputy", |params| params.extended_key_usages = purpose).write(folder, "deputy");
    authority.vouch("client").write(folder, "client");
    authority
}

/// What `openssl ocsp` answers to this question, signed by one of the cast.
fn answer(folder: &Path, signer: &str, question: &[u8]) -> Vec<u8> {
    fs::write(folder.join("question"), question).unwrap();
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(["ocsp", "-index", "index.txt", "-CA", "authority.crt", "-ndays", "1"]);
    command.args(["-rsigner", &format!("{signer}.crt"), "-rkey", &format!("{signer}.key")]);
    let output = command.args(["-reqin", "question", "-respout", "answer"]).output().expect("openssl runs");
    fs::read(folder.join("answer")).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// `id-pe-authorityInfoAccess` with a responder.
fn responder(url: &str) -> CustomExtension {
    let element =
        |tag: u8, parts: &[&[u8]]| [&[tag, u8::try_from(parts.concat().len()).unwrap()], &*parts.concat()].concat();
    let method = [6, 8, 0x2b, 6, 1, 5, 5, 7, 48, 1];
    let access = element(0x30, &[&method, &element(0x86, &[url.as_bytes()])]);
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], element(0x30, &[&access]))
}

/// Says of a gateway whose certificate has this status what its clients are shown.
async fn shown(status: &str, signer: &'static str, line: &str) -> String {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let authority = cast(folder.path());
    let index = if status == "good" {
        "V\t401231235959Z\t\t010203\tunknown\t/CN=site\n"
    } else {
        "R\t401231235959Z\t260101000000Z\t010203\tunknown\t/CN=site\n"
    };
    fs::write(folder.path().join("index.txt"), index).unwrap();
    let kept = folder.clone();
    let responding =
        TestTarget::replying(move |seen| http::Response::new(full(answer(kept.path(), signer, &seen.body)))).await;
    let site = authority.vouch_with("site", |params| {
        params.serial_number = Some(vec![1, 2, 3].into());
        params.custom_extensions = vec![responder(&format!("{}/ocsp", responding.url()))];
    });
    let gateway = TestGateway::new().setting("SANDGATE_SSL_STAPLING", "on").start().await;
    let entity = json!({ "cert": format!("{}{}", site.chain, authority.pem), "key": site.key, "snis": ["site.test"] });
    gateway.admin.create("/certificates", entity).await;
    gateway.process.log.line(line, PATIENCE).await.unwrap();
    let said = s_client(gateway.proxy_tls(), &["-ign_eof", "-status", "-servername", "site.test"]).await;
    said.expect(&["HTTP/1.1 404", "subject=CN = site"]);
    let other = s_client(gateway.proxy_tls(), &["-ign_eof", "-status", "-servername", "other.test"]).await;
    other.expect(&["OCSP response: no response sent"]);
    said.0
}

#[tokio::test]
async fn an_answer_of_the_issuer_or_its_deputy_is_stapled() {
    for signer in ["authority", "deputy"] {
        let said = shown("good", signer, "an answer about a certificate is stapled").await;
        assert!(said.contains("OCSP Response Status: successful") && said.contains("Cert Status: good"), "{said}");
    }
}

#[tokio::test]
async fn nothing_else_is_stapled() {
    for (status, signer, reason) in [
        ("revoked", "authority", "the certificate is revoked"),
        ("good", "stranger", "the answer is not signed by the issuer, nor for it"),
        ("good", "client", "the answer is not signed by the issuer, nor for it"),
    ] {
        let said = shown(status, signer, reason).await;
        assert!(said.contains("OCSP response: no response sent"), "{status} by {signer}: {said}");
    }
}
