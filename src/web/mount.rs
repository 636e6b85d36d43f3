//! The mount: what answers upgrade requests on a path of an application.

use std::fmt;
use std::rc::Rc;

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::http::header::{ContentType, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_VERSION, UPGRADE};
use actix_web::http::{StatusCode, Version};
use actix_web::web::Payload;
use actix_web::{HttpMessage, HttpRequest, HttpResponse};

use super::bridge::bridge;
use crate::actor::socket::NotAdopted;
use crate::address::{CertificateChain, PeerAddress, TransportKind, UpgradeFault};
use crate::connection::announce_refused_upgrade;
use crate::event::RefusalReason;
use crate::socket::Socket;
use crate::transport::{Accepted, UpgradeRequest, Upgraded, check_origin, judge_head, page};

/// Makes WebSocket connections to `path` peers of `socket`; for
/// [`App::service`](actix_web::App::service) and [`Scope::service`](actix_web::Scope::service).
///
/// It holds a handle of the socket, which so stays open for at least as long as the application.
pub fn endpoint(path: &str, socket: &Socket) -> Mount {
    socket.core().standing.note_reachable();
    Mount {
        path: path.to_owned(),
        socket: socket.clone(),
        allowed_origins: Vec::new(),
        carried: Vec::new(),
    }
}

/// A path of an application at which peers of a socket come in; made by [`endpoint`].
///
/// An upgrade request is judged as on a port of the socket's own: 426 answers a plain GET and
/// another version than 13, 400 a request that is no proper upgrade, 403 an origin that is not
/// allowed, 431 a header over 8 KiB. 503 says that the socket is closed or at its connection limit.
///
/// A connection costs one task in the web server's thread and, while both directions are stalled, at
/// most about 256 KiB for what is on its way to and from the socket's own thread.
#[derive(Clone)]
#[must_use = "it does nothing until it is given to App::service"]
pub struct Mount {
    path: String,
    socket: Socket,
    allowed_origins: Vec<String>,
    carried: Vec<Rc<Carry>>,
}

/// Adds what the application knows of a request.
type Carry = dyn Fn(&HttpRequest, UpgradeRequest) -> UpgradeRequest;

impl Mount {
    /// Admits, of peers that name an origin, as every browser does, only those of this one, for
    /// instance `https://app.example`. May be called several times. By default every origin is
    /// admitted: an application with sessions wants to list its own, because a browser sends its
    /// cookies along whatever page the connection is opened by. An origin has no path and no wildcard; what no browser
    /// sends admits nobody, and is a warning.
    pub fn allowed_origin(mut self, origin: impl Into<String>) -> Self {
        let origin = origin.into();
        if let Err(problem) = check_origin(&origin) {
            tracing::warn!(path = self.path, problem, "an allowed origin admits nobody");
        }
        self.allowed_origins.push(origin);
        self
    }

    /// Hands the authorizer a copy of the value of this type among the request's extensions, if
    /// there is one, where [`UpgradeRequest::extension`] finds it. Middleware puts such values there: the
    /// user of a session, for instance.
    pub fn carry<T: Clone + Send + Sync + 'static>(self) -> Self {
        self.carry_with(|request| request.extensions().get::<T>().cloned())
    }

    /// Gives the authorizer the value that `of` finds in the request, if there is one:
    /// [`UpgradeRequest::extension`] finds it by its type.
    pub fn carry_with<T: Send + Sync + 'static>(
        mut self,
        of: impl Fn(&HttpRequest) -> Option<T> + 'static,
    ) -> Self {
        let carry = move |request: &HttpRequest, upgrade: UpgradeRequest| match of(request) {
            Some(value) => upgrade.with_extension(value),
            None => upgrade,
        };
        self.carried.push(Rc::new(carry));
        self
    }

    /// Answers one request.
    async fn serve(&self, request: &HttpRequest, payload: Payload) -> HttpResponse {
        let remote = request
            .peer_addr()
            .map_or(PeerAddress::Unknown, PeerAddress::Socket);
        let (upgrade, accept) = match judge(request, &self.allowed_origins) {
            Ok(asked) => asked,
            Err((fault, reason)) => {
                announce_refused_upgrade(self.socket.core(), remote, reason);
                return refuse(fault);
            }
        };
        let carry = |upgrade, carry: &Rc<Carry>| carry(request, upgrade);
        let upgrade = self.carried.iter().fold(upgrade, carry);
        let config = request.app_config();
        let local = PeerAddress::Socket(config.local_addr());
        let transport = match config.secure() {
            true => TransportKind::Wss,
            false => TransportKind::WebSocket,
        };
        let certificates = request.conn_data::<CertificateChain>().cloned();
        let upgraded = Upgraded {
            local,
            transport,
            certificates,
            request: upgrade,
        };
        let (accepted, ends) = Accepted::mounted(remote, upgraded);
        match self.socket.adopt(accepted, self.path.clone()).await {
            Ok(()) => {}
            Err(NotAdopted::Closed) => {
                return unavailable("This socket is closed, or about to be.");
            }
            Err(NotAdopted::Full) => return unavailable("This socket has all the peers it takes."),
        }
        let (receiving, outgoing) = bridge(payload, ends);
        actix_rt::spawn(receiving);
        HttpResponse::SwitchingProtocols()
            .upgrade("websocket")
            .insert_header((SEC_WEBSOCKET_ACCEPT, accept))
            .body(outgoing)
    }
}

impl HttpServiceFactory for Mount {
    fn register(self, config: &mut AppService) {
        let path = self.path.clone();
        let mount = Rc::new(self);
        let serve = move |request: HttpRequest, payload: Payload| {
            let mount = Rc::clone(&mount);
            async move { mount.serve(&request, payload).await }
        };
        let get = actix_web::web::get().to(serve);
        actix_web::web::resource(path).route(get).register(config);
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount")
            .field("path", &self.path)
            .field("socket", &self.socket.identity())
            .field("allowed_origins", &self.allowed_origins)
            .finish_non_exhaustive()
    }
}

/// Judges a request by its head, which is written out again for those who judge heads.
fn judge(
    request: &HttpRequest,
    allowed_origins: &[String],
) -> Result<(UpgradeRequest, String), (UpgradeFault, RefusalReason)> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let version = match request.version() {
        Version::HTTP_11 => "1.1",
        _ => "1.0",
    };
    let mut head = format!("{} {target} HTTP/{version}\r\n", request.method()).into_bytes();
    for (name, value) in request.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    let asked = judge_head(&head, allowed_origins)?;
    // Of other spellings that HTTP allows the server would not hand over what follows the head.
    let mut upgrades = request.headers().get_all(UPGRADE);
    let hands_over = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"websocket");
    if upgrades.any(|value| hands_over(value.as_bytes())) && !request.chunked().unwrap_or(true) {
        Ok(asked)
    } else {
        let fault = UpgradeFault::NoUpgrade;
        Err((fault, RefusalReason::Upgrade(fault)))
    }
}

fn refuse(fault: UpgradeFault) -> HttpResponse {
    let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = HttpResponse::build(status);
    if status == StatusCode::UPGRADE_REQUIRED {
        response
            .insert_header((UPGRADE, "websocket"))
            .insert_header((SEC_WEBSOCKET_VERSION, "13"));
    }
    response.content_type(ContentType::html()).body(page(fault))
}

fn unavailable(reason: &'static str) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .content_type(ContentType::plaintext())
        .body(reason)
}
