//! Files of certificates and keys: what is not understood in them is refused, with its line, and nothing is passed over.

use std::fs;

use crate::site::Site;
use crate::tls::secure;
use crate::tls_client::{ServerFiles, data};

fn text(name: &str) -> String {
    fs::read_to_string(data(name)).unwrap()
}

/// A site whose certificate, key and client CAs stand in files that can be replaced.
fn site() -> (Site, ServerFiles) {
    let site = Site::new();
    let files = secure(&site);
    files.put("ca.pem", "client-ca.pem");
    site.edit("config.toml", &format!("{:?}", data("ca.pem")), &format!("{:?}", files.path("client-ca.pem")));
    (site, files)
}

/// What `check` says of this text in the place of the file `name`, without the path; nothing if it says good.
fn verdict((site, files): &(Site, ServerFiles), name: &str, text: &[u8]) -> String {
    let before = fs::read(files.path(name)).unwrap();
    files.write(name, text);
    let output = site.command("check").output().unwrap();
    files.write(name, &before);
    let said = String::from_utf8(output.stderr).unwrap();
    if output.status.success() {
        return said;
    }
    let (_, why) = said.trim_end().split_once(name).unwrap_or_else(|| panic!("{name} is not named: {said}"));
    why.to_owned()
}

#[test]
fn what_is_common_and_harmless_is_understood() {
    let site = site();
    let (ca, other, key) = (text("ca.pem"), text("selfsigned.pem"), text("server.key"));
    let attributes = "Bag Attributes\n    localKeyID: 01 02\nsubject=CN = localhost\n\nissuer=CN = Test CA\n";
    let printed =
        "Certificate:\n    Data:\n        Version: 3 (0x2)\n        Serial Number: 1 (0x1)\n            65:2d:2d\n";
    for (name, text) in [
        ("client-ca.pem", ca.clone() + &other),
        ("client-ca.pem", format!("# a comment\n\n{ca}\nTest CA\n=======\n{other}\n\n")),
        ("client-ca.pem", format!("{attributes}{ca}{printed}{other}")),
        ("client-ca.pem", ca.replace('\n', "\r\n")),
        ("client-ca.pem", format!("\u{feff}{ca}")),
        ("client-ca.pem", ca.replace('\n', " \n")),
        ("client-ca.pem", ca.trim_end().to_owned()),
        ("tls.key", text("sec1.key")),
        ("tls.key", format!("{key}{}", text("server.pem"))),
        ("tls.key", format!("{attributes}Key Attributes: <No Attributes>\n{key}")),
        ("tls.pem", format!("{}{key}", text("server.pem"))),
    ] {
        assert_eq!(verdict(&site, name, text.as_bytes()), "", "{name}: {text}");
    }
    // It is one, but of another certificate.
    let rsa = verdict(&site, "tls.key", text("rsa.key").as_bytes());
    assert!(rsa.ends_with("does not belong to this certificate; put the matching pair in place"), "{rsa}");
}

#[test]
fn what_is_not_understood_is_refused_with_its_line() {
    let site = site();
    let ca = text("ca.pem");
    let lines = ca.lines().count();
    let with = |from: &str, to: &str| format!("{ca}{}", ca.replace(from, to));
    let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
    let no_begin = "this is not the first line of a block: -----BEGIN CERTIFICATE----- or the like, and nothing else";
    let first_line = format!("{begin}\nMI");
    for (name, text, line, why) in [
        // One CA would be missing.
        ("client-ca.pem", with(begin, "----BEGIN CERTIFICATE-----"), lines + 1, no_begin),
        ("client-ca.pem", with(begin, " -----BEGIN CERTIFICATE-----"), lines + 1, no_begin),
        ("client-ca.pem", with(begin, "-----BEGIN CERTIFICATE----- #2"), lines + 1, no_begin),
        (
            "client-ca.pem",
            with(&format!("{begin}\n"), ""),
            lines + 1,
            "this is the content of a block, without its beginning",
        ),
        (
            "client-ca.pem",
            format!("{}{ca}", ca.replace(end, "")),
            lines + 1,
            "the block that begins on line 1 has no -----END CERTIFICATE----- before this",
        ),
        (
            "client-ca.pem",
            with(end, ""),
            lines + 1,
            "the block that begins here has no -----END CERTIFICATE-----; the file was cut off",
        ),
        (
            "client-ca.pem",
            with(end, "-----END TRUSTED CERTIFICATE-----"),
            2 * lines,
            &format!("the block that begins on line {} has no -----END CERTIFICATE----- before this", lines + 1),
        ),
        (
            "client-ca.pem",
            with("CERTIFICATE", "TRUSTED CERTIFICATE"),
            lines + 1,
            "a TRUSTED CERTIFICATE is not supported; convert it with: openssl x509 -in FILE -out NEW",
        ),
        (
            "client-ca.pem",
            with("CERTIFICATE", "X509 CRL"),
            lines + 1,
            "certificate revocation lists are not supported; remove it from the file",
        ),
        (
            "client-ca.pem",
            with("CERTIFICATE", "GREETING"),
            lines + 1,
            "a block of this kind is not supported; remove it from the file",
        ),
        ("client-ca.pem", with(&first_line, &format!("{begin}\n*I")), lines + 2, "this line of a block is not base64"),
        (
            "client-ca.pem",
            format!("{ca}{begin}\nAAAAA\n{end}\n"),
            lines + 1,
            "the content of the block that begins here is not base64",
        ),
        (
            "client-ca.pem",
            format!("{ca}{begin}\n{end}\n"),
            lines + 1,
            "the content of the block that begins here is not base64",
        ),
        (
            "client-ca.pem",
            format!("{ca}\0"),
            lines + 1,
            "is not text in ASCII or UTF-8, as PEM is; it may be DER or UTF-16",
        ),
        (
            "tls.key",
            text("encrypted.key"),
            2,
            "the key is encrypted, in the old way; decrypt it with: openssl pkey -in FILE -out NEW",
        ),
        (
            "tls.key",
            text("server.key").replace("PRIVATE", "ENCRYPTED PRIVATE"),
            1,
            "the key is encrypted; decrypt it with: openssl pkey -in FILE -out NEW",
        ),
        (
            "tls.key",
            text("server.key") + &text("other.key"),
            text("server.key").lines().count() + 1,
            "there is a second private key; only one can be used",
        ),
    ] {
        assert_eq!(verdict(&site, name, text.as_bytes()), format!(":{line}: {why}"), "{text}");
    }
    // What is no certificate, in a whole block.
    let unusable = verdict(&site, "client-ca.pem", format!("{ca}{begin}\nAAAA\n{end}\n").as_bytes());
    let place = format!(":{}: this certificate cannot be that of a CA: ", lines + 1);
    assert!(unusable.starts_with(&place) && unusable.ends_with("; remove it from the file"), "{unusable}");
}

#[test]
fn the_message_about_an_unusable_key_says_what_it_is() {
    let site = site();
    for (key, why) in [
        ("p521.key", ": is a P-521 key, which is not supported; use P-256, P-384 or Ed25519"),
        ("rsa1024.key", ": is an RSA key of 1024 bits; it must have at least 2048"),
        ("server.pem", ": there is no private key in it; it must be PEM (-----BEGIN PRIVATE KEY-----)"),
    ] {
        assert_eq!(verdict(&site, "tls.key", text(key).as_bytes()), why);
    }
    let why = verdict(&site, "tls.pem", text("server.key").as_bytes());
    assert_eq!(why, ": there is no certificate in it; it must be PEM (-----BEGIN CERTIFICATE-----)");
}
