//! What the `--tls…` options say, as options of a bind or a connect.

use actix_aiomsg::prelude::*;

use crate::options::Options;

/// How to listen.
#[cfg(feature = "tls")]
pub(crate) fn bind_options(options: &Options) -> Result<BindOptions, String> {
    let bind = BindOptions::new();
    if !options.tls {
        return Ok(bind);
    }
    let (Some(chain), Some(key)) = (&options.tls_cert, &options.tls_key) else {
        return Err("a bind end with --tls true needs --tls-cert and --tls-key".to_owned());
    };
    let mut server = Tls::server(chain, key);
    if options.require_client_cert {
        let authority = options.tls_ca.as_ref();
        server = server.client_ca(authority.ok_or("--require-client-cert needs --tls-ca")?);
    }
    let server = server.build().map_err(|error| error.to_string())?;
    Ok(bind.tls(server))
}

/// How to dial.
#[cfg(feature = "tls")]
pub(crate) fn connect_options(options: &Options) -> Result<ConnectOptions, String> {
    let connect = ConnectOptions::new();
    if !options.tls {
        return Ok(connect);
    }
    let mut client = Tls::client();
    if let Some(authority) = &options.tls_ca {
        client = client.ca(authority);
    }
    if let Some(name) = &options.tls_server_name {
        client = client.server_name(name);
    }
    match (&options.tls_client_cert, &options.tls_client_key) {
        (Some(chain), Some(key)) => client = client.certificate(chain, key),
        (None, None) => {}
        _ => return Err("--tls-client-cert and --tls-client-key belong together".to_owned()),
    }
    let client = client.build().map_err(|error| error.to_string())?;
    Ok(connect.tls(client))
}

/// How to listen in a build without TLS.
#[cfg(not(feature = "tls"))]
pub(crate) fn bind_options(_: &Options) -> Result<BindOptions, String> {
    Ok(BindOptions::new())
}

/// How to dial in a build without TLS.
#[cfg(not(feature = "tls"))]
pub(crate) fn connect_options(_: &Options) -> Result<ConnectOptions, String> {
    Ok(ConnectOptions::new())
}
