//! Spans on their way to a collector of OpenTelemetry, by HTTP without TLS.

use std::future::{Future, ready};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::failure::Failure;

/// Time that the collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends the spans of this process to the collector at this address, as those of `service`. What is left goes when the provider is shut
/// down.
pub(crate) fn install(
    service: &'static str,
    collector: &str,
) -> Result<SdkTracerProvider, Failure> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client)
        .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
        .with_timeout(PATIENCE)
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name(service).build())
        .with_batch_exporter(exporter)
        .build();
    global::set_tracer_provider(provider.clone());
    Ok(provider)
}

/// One request for each connection. It blocks: the exporter has a thread of its own.
#[derive(Debug)]
struct Client;

impl HttpClient for Client {
    fn send_bytes<'a, 'answer>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'answer>>
    where
        'a: 'answer,
        Self: 'answer,
    {
        Box::pin(ready(post(&request)))
    }
}

fn post(request: &Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let uri = request.uri();
    let (host, port) = (uri.host().unwrap_or("localhost"), uri.port_u16());
    let mut stream = TcpStream::connect((host, port.unwrap_or(4318)))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = format!("POST {} HTTP/1.1\r\nHost: {host}\r\n", uri.path());
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str()?);
    }
    let body = request.body();
    head += &format!(
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let status = std::str::from_utf8(&answer[..end])?.split(' ').nth(1);
    let status = status
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?
        .parse::<u16>()?;
    let body = Bytes::copy_from_slice(&answer[end + 4..]);
    Ok(Response::builder().status(status).body(body)?)
}
