//! An authority whose certificates can be wrong in every way, in files of its own.

use std::fs;
use std::path::{Path, PathBuf};

use actix_aiomsg::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

/// An authority, in a directory that goes with it.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let name = format!("authority-{}", Identity::random());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        fs::create_dir(&directory).expect("the target directory is ours");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("random bytes");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("valid parameters");
        let authority = Self { issuer, directory };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::write(&path, text).expect("the directory is ours");
        path
    }

    /// The file with the authority's own certificate.
    pub fn ca(&self) -> PathBuf {
        self.directory.join("ca.pem")
    }

    /// A certificate and its key called `name`, for `127.0.0.1` and `localhost`; again under the
    /// same name, it replaces the files.
    pub fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        self.issue_with(name, |_| {})
    }

    /// The same, changed as the test likes.
    pub fn issue_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        self.issue_for(name, &names, change)
    }

    /// A certificate that names nobody but in its common name.
    pub fn issue_named(&self, name: &str) -> (PathBuf, PathBuf) {
        self.issue_for(name, &[], |_| {})
    }

    fn issue_for(
        &self,
        name: &str,
        names: &[String],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(names).expect("valid names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().expect("random bytes");
        let signed = params.signed_by(&key, &self.issuer).expect("it can sign");
        (
            self.write(&format!("{name}.pem"), &signed.pem()),
            self.write(&format!("{name}.key"), &key.serialize_pem()),
        )
    }

    /// A revocation list that names the certificate of one serial number.
    pub fn revoke(&self, serial: u8) -> PathBuf {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(u64::from(serial)),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: Some(RevocationReason::KeyCompromise),
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("it can sign");
        self.write("revoked.pem", &list.pem().expect("valid PEM"))
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // What is left is in the target directory, where it harms nobody.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Makes a certificate that has expired.
pub fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2001, 1, 1);
}

/// Makes a certificate for another host.
pub fn elsewhere(params: &mut CertificateParams) {
    params.subject_alt_names = vec![rcgen::SanType::DnsName(
        "other.example".try_into().expect("a name"),
    )];
}

/// Gives a certificate this serial number.
pub fn serial(number: u8) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.serial_number = Some(SerialNumber::from(u64::from(number)))
}
