//! Real handshakes over TCP, with certificates made for each test.

mod established_tests;
mod refused_tests;
mod reloaded_tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SerialNumber, date_time_ymd,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use super::config::default_provider;
use super::*;
use crate::address::{Endpoint, RefusedBy, TlsRefusal, TransportKind};
use crate::transport::tls_config_error::TlsConfigError;
use crate::transport::{
    Acceptor, BindOptions, ConnectOptions, Established, TransportError, dial, refusal_of,
};

type Outcome = Result<Established, TransportError>;

async fn listen_with(tls: &TlsServer) -> Acceptor {
    let endpoint = "tls://127.0.0.1:0".parse().unwrap();
    let options = BindOptions::new().tls(tls.clone());
    Acceptor::listen(&endpoint, &options, &Default::default())
        .await
        .unwrap()
}

/// Both ends of one attempt. The client's first byte goes with it, as a HELLO would.
async fn attempt(acceptor: &Acceptor, client: &TlsClient) -> (Outcome, Outcome) {
    let endpoint = acceptor.endpoint();
    let options = ConnectOptions::new().tls(client.clone());
    tokio::join!(
        async {
            let mut established = dial(&endpoint, &options).await?;
            let io = TransportError::io("the first byte");
            established.stream.write_all(&[0]).await.map_err(io)?;
            Ok(established)
        },
        async { acceptor.accept().await.unwrap().establish().await },
    )
}

/// Refusals of an attempt between these two ends: at the client, at the server.
async fn refusals(server: &TlsServer, client: &TlsClient) -> [(RefusedBy, TlsRefusal); 2] {
    let acceptor = listen_with(server).await;
    let (client, server) = attempt(&acceptor, client).await;
    let client = match client {
        Ok(mut established) => {
            let error = established.stream.read_u8().await.unwrap_err();
            refusal_of(&error).unwrap_or_else(|| panic!("{error:?}"))
        }
        Err(error) => refusal(error),
    };
    [client, refusal(server.expect_err("the server refuses"))]
}

fn refusal(error: TransportError) -> (RefusedBy, TlsRefusal) {
    match error {
        TransportError::Tls { by, refusal, .. } => (by, refusal),
        other => panic!("{other:?}"),
    }
}

fn leaf(established: &Established) -> Vec<u8> {
    established
        .meta
        .certificates
        .as_ref()
        .unwrap()
        .leaf()
        .to_vec()
}

/// An authority whose certificates can be wrong in every way, in a directory of its own.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

impl Authority {
    fn new(test: &str) -> Self {
        Self::named(test, test)
    }

    /// An authority called `name`, in a directory for `test`.
    fn named(test: &str, name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("aiomsg-tls-{}-{test}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        fs::write(directory.join("ca"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn ca(&self) -> PathBuf {
        self.file("ca")
    }

    /// Writes `name.pem` and `name.key`, for `127.0.0.1`, changed as the test likes.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (chain, key_file) = (
            self.file(&format!("{name}.pem")),
            self.file(&format!("{name}.key")),
        );
        fs::write(&chain, certificate.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        (chain, key_file)
    }

    fn server(&self) -> TlsServer {
        self.server_with(|_| {})
    }

    fn server_with(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsServer {
        let (chain, key) = self.issue("server", change);
        Tls::server(chain, key).build().unwrap()
    }

    /// A server whose certificate is signed by an authority between it and this one.
    fn server_below(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsServer {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "between");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let between = CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap();
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "server");
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &between).unwrap();
        let (chain, key_file) = (self.file("below.pem"), self.file("below.key"));
        fs::write(&chain, leaf.pem() + &between.pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        Tls::server(chain, key_file).build().unwrap()
    }

    fn mutual_server(&self) -> TlsServer {
        let (chain, key) = self.issue("server", |_| {});
        Tls::server(chain, key)
            .client_ca(self.ca())
            .build()
            .unwrap()
    }

    fn client(&self) -> TlsClient {
        Tls::client().ca(self.ca()).build().unwrap()
    }

    fn client_with(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsClient {
        let (chain, key) = self.issue("client", change);
        Tls::client()
            .ca(self.ca())
            .certificate(chain, key)
            .build()
            .unwrap()
    }

    /// A revocation list that names one serial number.
    fn revoke(&self, serial: &[u8]) -> PathBuf {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from_slice(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: Some(RevocationReason::KeyCompromise),
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let path = self.file("crl");
        fs::write(&path, list.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        path
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).unwrap();
    }
}

fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2001, 1, 1);
}

fn serial_7(params: &mut CertificateParams) {
    params.serial_number = Some(SerialNumber::from_slice(&[7]));
}
