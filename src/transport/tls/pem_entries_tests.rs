//! Files as editors, mail programs, templates and other tools leave them.

use super::*;

const BLOCK: &str = "-----BEGIN CERTIFICATE-----\nAQID\nBAU=\n-----END CERTIFICATE-----\n";

fn certificates_in(text: &str) -> Result<Vec<Vec<u8>>, PemProblem> {
    let entries = parse(text.as_bytes(), CERTIFICATE)?;
    Ok(entries.into_iter().map(|entry| entry.der).collect())
}

#[test]
fn what_editors_and_templates_do_to_a_file_is_tolerated() {
    let indented = BLOCK.replace('\n', "\n    ");
    let windows = BLOCK.replace('\n', "\r\n");
    for text in [
        BLOCK.to_owned(),
        format!("\u{feff}{BLOCK}"),
        format!("    {indented}"),
        windows,
        format!("subject=CN = a\n\n{BLOCK}\ntrailing text"),
        BLOCK.replace("CERTIFICATE", "X509 CERTIFICATE"),
        BLOCK.trim_end().to_owned(),
    ] {
        assert_eq!(certificates_in(&text).unwrap(), [[1, 2, 3, 4, 5]], "{text}");
    }
    assert_eq!(certificates_in(&BLOCK.repeat(3)).unwrap().len(), 3);
}

#[test]
fn no_entry_is_lost_in_silence() {
    let refused = |text: &str| certificates_in(text).unwrap_err().to_string();
    for (text, told) in [
        (
            BLOCK.repeat(2).replacen("AQID", "A!ID", 1),
            "entry 1 is not base64",
        ),
        (
            format!("{BLOCK}{}", BLOCK.replace("AQID", "AQI")),
            "entry 2 is not base64",
        ),
        (
            format!("{BLOCK}-----BEGIN CERTIFICATE-----\nAQID"),
            "entry 2 has no END line",
        ),
        (
            format!("-----BEGIN CERTIFICATE-----\nAQID\n{BLOCK}"),
            "entry 1 has no END line",
        ),
        (
            format!("{BLOCK}{}", BLOCK.replace(" CERT", " TRUSTED CERT")),
            "openssl x509",
        ),
        (
            BLOCK.replace("\n-----END", "\n-----END -----") + BLOCK,
            "entry 1 has no END line",
        ),
        (
            format!("{BLOCK}-{}", &BLOCK[2..]),
            "entry 2 cannot be used: its BEGIN line is missing",
        ),
        (format!("{BLOCK}\u{2014}{}", &BLOCK[5..]), "entry 2"),
        (BLOCK.to_owned() + &BLOCK[28..], "BEGIN line is missing"),
        (
            BLOCK
                .repeat(2)
                .replacen("----\n-----BEGIN", "---------BEGIN", 1),
            "joined to another",
        ),
        (String::new(), "holds none"),
        (BLOCK.replace("CERTIFICATE", "X509 CRL"), "holds none"),
    ] {
        let refused = refused(&text);
        assert!(refused.contains(told), "{refused}: {text}");
    }
    let der = parse(&[0x30, 0x82, 1, 2], CERTIFICATE).err().unwrap();
    assert!(der.to_string().contains("DER"), "{der}");
    let short = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30];
    let short = parse(&short, &["PRIVATE KEY"]).err().unwrap();
    assert!(short.to_string().contains("DER"), "{short}");
    let bundle = [0x30, 0x82, 9, 9, 0x02, 0x01, 0x03, 0x30];
    let bundle = parse(&bundle, CERTIFICATE).err().unwrap();
    assert!(bundle.to_string().contains("openssl pkcs12"), "{bundle}");
    let utf16 = parse(b"\xff\xfe-\0-\0", CERTIFICATE).err().unwrap();
    assert!(utf16.to_string().contains("UTF-16"), "{utf16}");
}

#[test]
fn an_encrypted_key_is_told_as_that() {
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAQID\n\
               -----END RSA PRIVATE KEY-----";
    let new = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAQID\n-----END ENCRYPTED PRIVATE KEY-----";
    for key in [old, new] {
        let refused = parse(key.as_bytes(), &["PRIVATE KEY", "RSA PRIVATE KEY"]);
        let refused = refused.err().unwrap().to_string();
        assert!(refused.contains("openssl pkey"), "{refused}");
    }
    // Beside a certificate that is wanted it is another's business.
    assert_eq!(
        certificates_in(&format!("{new}\n{BLOCK}")).unwrap().len(),
        1
    );
}

/// A file with one good certificate and then this.
fn behind_a_good_one(second: &str) -> String {
    format!("{BLOCK}{second}")
}

#[test]
fn a_second_certificate_that_is_damaged_in_any_way_is_an_error_that_names_it() {
    let quoted: String = BLOCK.lines().map(|line| format!("> {line}\n")).collect();
    for (second, told) in [
        (BLOCK.replace("-----\n", "-----;\n"), "BEGIN line"),
        (BLOCK.replace("-----\n", "----- x\n"), "BEGIN line"),
        (
            BLOCK.replace("BEGIN ", "BEGIN  ").replace("END ", "END  "),
            "label",
        ),
        (BLOCK.to_lowercase(), "BEGIN line"),
        (BLOCK.replace("CERTIFICATE", "certificate"), "label"),
        (BLOCK.replace("CERTIFICATE", "CERTFICATE"), "\"CERTFICATE\""),
        (BLOCK.replace(" CERTIFICATE", ""), "BEGIN line"),
        (quoted, "BEGIN line"),
        (
            BLOCK.replacen("-----BEGIN", "\u{a0}-----BEGIN", 1),
            "BEGIN line",
        ),
        (BLOCK.replace("-----", "--"), "BEGIN line"),
        (BLOCK.replace("-----", "\u{2014}"), "BEGIN line"),
        (BLOCK.replace("-----", ""), "BEGIN line"),
        (
            BLOCK.replacen("CERTIFICATE-----", "CERTIFICATE", 1),
            "BEGIN line",
        ),
        (BLOCK.replace('\n', " "), "line breaks"),
        (
            BLOCK.replace("CERTIFICATE", "PKCS7"),
            "openssl pkcs7 -print_certs",
        ),
        (BLOCK[28..].to_owned(), "BEGIN line"),
        (
            BLOCK[28..].replace("CERTIFICATE", "PRIVATE KEY"),
            "BEGIN line",
        ),
    ] {
        let text = behind_a_good_one(&second);
        let refused = certificates_in(&text).expect_err(&text).to_string();
        assert!(refused.contains("entry 2"), "{refused}: {text}");
        assert!(refused.contains(told), "{refused}: {text}");
    }
}

#[test]
fn comments_prose_and_entries_of_other_kinds_are_no_damage() {
    let commented: String = BLOCK.lines().map(|line| format!("# {line}\n")).collect();
    let prose = "Root CA - end of life 2030\nfriendlyName: Begin-End\n== Trust \u{2013} the end ==\n\
                 Subject: O=END GmbH\nrenewed at the END\n";
    for other in [
        commented,
        prose.to_owned(),
        BLOCK.replace("CERTIFICATE", "EC PARAMETERS"),
        BLOCK.replace("CERTIFICATE", "DH PARAMETERS"),
        BLOCK.replace("CERTIFICATE", "RSA PRIVATE KEY"),
        BLOCK.replace("CERTIFICATE", "ENCRYPTED PRIVATE KEY"),
        BLOCK.replace("CERTIFICATE", "CERTIFICATE REQUEST"),
        BLOCK.replace("CERTIFICATE", "X509 CRL"),
    ] {
        for text in [format!("{other}{BLOCK}"), format!("{BLOCK}{other}")] {
            assert_eq!(certificates_in(&text).unwrap(), [[1, 2, 3, 4, 5]], "{text}");
        }
    }
    let old_macintosh = BLOCK.replace('\n', "\r");
    assert_eq!(certificates_in(&old_macintosh).unwrap(), [[1, 2, 3, 4, 5]]);
}

#[test]
fn entries_of_every_kind_are_counted() {
    let key = BLOCK.replace("CERTIFICATE", "PRIVATE KEY");
    for (text, entry) in [
        (
            format!("{}{BLOCK}", key.trim_end()),
            "entry 1 has no END line",
        ),
        (format!("{key}{}", &BLOCK[..30]), "entry 2 has no END line"),
        (
            format!("{key}{}", BLOCK.replace("AQID", "A!")),
            "entry 2 is not base64",
        ),
    ] {
        let refused = certificates_in(&text).unwrap_err().to_string();
        assert!(refused.contains(entry), "{refused}: {text}");
    }
}

#[test]
fn a_file_without_what_is_wanted_is_told_by_what_it_holds() {
    let key = BLOCK.replace("CERTIFICATE", "PRIVATE KEY");
    let request = BLOCK.replace("CERTIFICATE", "CERTIFICATE REQUEST");
    for (bytes, told) in [
        (key.as_bytes(), "holds none, but PRIVATE KEY"),
        (request.as_bytes(), "an authority has to sign"),
        (
            format!("{key}{request}{key}").as_bytes(),
            "but PRIVATE KEY, and CERTIFICATE REQUEST",
        ),
        (BLOCK.replace('\n', "\\n").as_bytes(), "\\n"),
        (BLOCK.replace('\n', "").as_bytes(), "line breaks"),
        (b"", "it is empty"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\n <!DOCTYPE html>", "HTML"),
        (b"-\0-\0-\0-\0", "UTF-16"),
        (b"\0-\0-\0-\0-", "UTF-16"),
        (
            b"\x30\x82\x01\x9d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",
            "openssl pkcs7 -inform DER -print_certs",
        ),
    ] {
        let refused = parse(bytes, CERTIFICATE).err().unwrap().to_string();
        assert!(refused.contains(told), "{refused}");
    }
    let ssh = BLOCK.replace("CERTIFICATE", "OPENSSH PRIVATE KEY");
    let refused = parse(ssh.as_bytes(), &["PRIVATE KEY"]).err().unwrap();
    assert!(
        refused.to_string().contains("but OPENSSH PRIVATE KEY"),
        "{refused}"
    );
    let bundle = BLOCK.replace("CERTIFICATE", "PKCS7");
    let refused = parse(bundle.as_bytes(), &["PRIVATE KEY"]).err().unwrap();
    assert!(refused.to_string().contains("but PKCS7"), "{refused}");
}
