//! The faults of certificates that rustls has no error of its own for, in sentences.

use tokio_rustls::rustls::CertificateError;

/// The fault, and what to do. rustls passes the errors of its verifier on by their names alone.
pub(super) fn fault_of(error: &CertificateError) -> String {
    let other = match error {
        CertificateError::Other(other) => other.to_string(),
        CertificateError::BadEncoding => return "it is malformed".to_owned(),
        CertificateError::UnhandledCriticalExtension => "UnsupportedCriticalExtension".to_owned(),
        CertificateError::Expired => "InvalidCertValidity".to_owned(),
        other => return other.to_string(),
    };
    let sentence = match &other[..] {
        "UnsupportedCertVersion" => {
            "it is of X.509 version 1; sign it with extensions, as by openssl x509 -req -extfile FILE"
        }
        "EndEntityUsedAsCa" => {
            "it has signed another one, and is no authority's; issue it with basicConstraints=CA:TRUE"
        }
        "NameConstraintViolation" => {
            "it is for names that the nameConstraints of an authority in its chain do not allow"
        }
        "PathLenConstraintViolated" => {
            "there are more authorities in its chain than the pathlen of one of them allows"
        }
        "UnsupportedCriticalExtension" => {
            "it has a critical extension that is not supported; issue it without, or not critical"
        }
        "EmptyEkuExtension" => "its extendedKeyUsage is empty; issue it with a purpose",
        "InvalidCertValidity" => "its validity ends before it begins",
        "InvalidSerialNumber" => {
            "its serial number is negative, or longer than 20 bytes; issue it with another"
        }
        "SignatureAlgorithmMismatch" => "it names two algorithms of its one signature",
        "MaximumPathDepthExceeded"
        | "MaximumPathBuildCallsExceeded"
        | "MaximumSignatureChecksExceeded"
        | "MaximumNameConstraintComparisonsExceeded" => {
            "its chain is too long or too intricate; show the leaf and the authorities above it alone"
        }
        name if name.contains("Crl") || name.contains("Revocation") => {
            return format!("its revocation list is of a kind that is not supported: {name}");
        }
        name => return format!("it is malformed: {name}"),
    };
    sentence.to_owned()
}
