//! `aiomsg cert`: certificates for development.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::parse_x509_pem;

use crate::Outcome;
use crate::failure::Failure;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make an authority: ca.pem, which peers trust, and ca.key, which signs.
    Ca {
        /// The name of the authority.
        #[arg(long, default_value = "aiomsg development authority")]
        name: String,
        #[command(flatten)]
        files: Files,
        /// Days for which it holds.
        #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u16).range(1..))]
        days: u16,
    },
    /// Make a certificate for a bind end, signed by the authority: HOST.pem and HOST.key.
    Server {
        /// Names and addresses that peers connect to.
        #[arg(required = true, value_name = "HOST")]
        hosts: Vec<String>,
        #[command(flatten)]
        files: Files,
        /// Days for which it holds.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..))]
        days: u16,
    },
    /// Make a certificate for a connect end, signed by the authority: NAME.pem and NAME.key.
    Client {
        /// Who it is. `identity_from_certificate` derives the identity from it.
        name: String,
        #[command(flatten)]
        files: Files,
        /// Days for which it holds.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u16).range(1..))]
        days: u16,
    },
}

#[derive(Debug, Args)]
struct Files {
    /// The folder of the files.
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    dir: PathBuf,
    /// Replace files that are there.
    #[arg(long)]
    force: bool,
}

impl Options {
    pub(crate) async fn run(self) -> Outcome {
        match self.what {
            What::Ca { name, files, days } => authority(&name, &files, days),
            What::Server { hosts, files, days } => {
                let name = file_name(&hosts[0])?;
                let params = CertificateParams::new(hosts.clone()).map_err(|error| {
                    Failure::usage(format_args!("{}: {error}", hosts.join(", ")))
                })?;
                let usage = ExtendedKeyUsagePurpose::ServerAuth;
                signed(params, &hosts[0], &name, usage, &files, days)
            }
            What::Client { name, files, days } => {
                let params = CertificateParams::default();
                let file = file_name(&name)?;
                let usage = ExtendedKeyUsagePurpose::ClientAuth;
                signed(params, &name, &file, usage, &files, days)
            }
        }
    }
}

/// The parameters of an authority of this name.
fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

fn authority(name: &str, files: &Files, days: u16) -> Outcome {
    let mut params = authority_params(name);
    hold_for(&mut params, days);
    let key = KeyPair::generate().map_err(Failure::failed)?;
    let certificate = params.self_signed(&key).map_err(Failure::failed)?;
    files.write("ca", &certificate.pem(), &key.serialize_pem())
}

fn signed(
    mut params: CertificateParams,
    common: &str,
    file: &str,
    usage: ExtendedKeyUsagePurpose,
    files: &Files,
    days: u16,
) -> Outcome {
    let (name, authority_key) = files.authority()?;
    let issuer = Issuer::new(authority_params(&name), authority_key);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    hold_for(&mut params, days);
    let key = KeyPair::generate().map_err(Failure::failed)?;
    let certificate = params.signed_by(&key, &issuer).map_err(Failure::failed)?;
    files.write(file, &certificate.pem(), &key.serialize_pem())
}

/// Valid from an hour ago on, because clocks differ.
fn hold_for(params: &mut CertificateParams, days: u16) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(days.into());
}

/// A name that is a file within the folder, whatever it contains.
fn file_name(name: &str) -> Outcome<String> {
    let harmless = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let file: String = name
        .chars()
        .map(|c| if harmless(c) { c } else { '_' })
        .collect();
    let file = file.trim_start_matches('.').to_owned();
    if file.is_empty() || file == "ca" {
        return Err(
            Failure::usage(format_args!("{name:?} cannot name a certificate"))
                .advise("`ca` is the authority's own; anything else with a letter will do."),
        );
    }
    Ok(file)
}

impl Files {
    /// The name and the key of the authority in the folder.
    fn authority(&self) -> Outcome<(String, KeyPair)> {
        let (certificate, key) = (self.dir.join("ca.pem"), self.dir.join("ca.key"));
        let advice = "`aiomsg cert ca` makes an authority in that folder.";
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| {
                Failure::failed(format_args!("{}: {error}", path.display())).advise(advice)
            })
        };
        let name = common_name(read(&certificate)?.as_bytes()).ok_or_else(|| {
            let text = format!(
                "{} is no authority of `aiomsg cert ca`",
                certificate.display()
            );
            Failure::failed(text).advise(advice)
        })?;
        let key = KeyPair::from_pem(&read(&key)?).map_err(|error| {
            Failure::failed(format_args!("{}: {error}", key.display())).advise(advice)
        })?;
        Ok((name, key))
    }

    /// Writes a certificate and its key, which nobody else may read, and tells where.
    fn write(&self, name: &str, certificate: &str, key: &str) -> Outcome {
        std::fs::create_dir_all(&self.dir)
            .map_err(|error| Failure::failed(format_args!("{}: {error}", self.dir.display())))?;
        let key_file = self.dir.join(format!("{name}.key"));
        let certificate_file = self.dir.join(format!("{name}.pem"));
        if !self.force {
            for file in [&key_file, &certificate_file] {
                if file.exists() {
                    return Err(exists(file));
                }
            }
        }
        self.write_file(&key_file, key, true)?;
        self.write_file(&certificate_file, certificate, false)?;
        output::print(certificate_file.display().to_string())?;
        output::print(key_file.display().to_string())
    }

    fn write_file(&self, path: &Path, text: &str, is_secret: bool) -> Outcome {
        if self.force {
            // It may not be there; and a new file has the rights that it is made with.
            let _ = std::fs::remove_file(path);
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if is_secret {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let _ = is_secret;
        let written = options
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(path),
            _ => Failure::failed(format_args!("{}: {error}", path.display())),
        })
    }
}

fn exists(path: &Path) -> Failure {
    Failure::failed(format_args!("{} is there already", path.display()))
        .advise("--force replaces it; peers that trust or use the old one need the new one then.")
}

/// The name of an authority that has nothing but a common name, as those of ours.
fn common_name(pem: &[u8]) -> Option<String> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    if !certificate.is_ca() || certificate.subject().iter_attributes().count() != 1 {
        return None;
    }
    let mut names = certificate.subject().iter_common_name();
    Some(names.next()?.as_str().ok()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_folder() {
        let name = |text| file_name(text).ok();
        assert_eq!(name("desk.example"), Some("desk.example".into()));
        assert_eq!(name("../../etc/passwd"), Some("_.._etc_passwd".into()));
        assert_eq!(name("::1"), Some("__1".into()));
        assert_eq!((name(""), name(".."), name("ca")), (None, None, None));
    }
}
