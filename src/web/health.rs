//! The answers to an orchestrator's probes.

use std::fmt;
use std::sync::Arc;

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ContentType};
use actix_web::{HttpResponse, web};

use crate::core::SocketCore;
use crate::health::{Health, HealthCriteria};
use crate::socket::Socket;

/// Answers the probes of an orchestrator at two paths, for [`App::service`](actix_web::App::service) and
/// [`Scope::service`](actix_web::Scope::service): whether all sockets that it is [told](HealthPages::socket) of are
/// alive, and whether they are ready.
///
/// ```no_run
/// use actix_aiomsg::{health::HealthCriteria, prelude::*, web};
/// use actix_web::{App, HttpServer};
///
/// #[actix_web::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let (orders, stock) = (Socket::start()?, Socket::start()?);
///     let pages = web::health("/livez", "/readyz")
///         .socket(&orders)
///         .socket_with(&stock, HealthCriteria::new().without_listener().min_peers(1));
///     let server = HttpServer::new(move || App::new().service(pages.clone()))
///         .disable_signals() // the socket drains first, and is asked meanwhile
///         .bind("0.0.0.0:8080")?
///         .run();
///     let web = server.handle();
///     actix::spawn(server);
///     orders.bind("tcp://0.0.0.0:25000").await?;
///     let report = orders.run_until_signal(Drain::within(std::time::Duration::from_secs(20))).await?;
///     web.stop(true).await;
///     println!("{report:?}");
///     Ok(())
/// }
/// ```
pub fn health(live: &str, ready: &str) -> HealthPages {
    HealthPages {
        live: live.to_owned(),
        ready: ready.to_owned(),
        sockets: Vec::new(),
    }
}

/// Two paths of an application at which it is asked for the health of its sockets; made by [`health`].
///
/// They answer GET and HEAD: 200 if all is well, and otherwise 503, with a line of text for each socket that is not.
/// Without any socket nothing is ready. The pages do not keep a socket open. An answer takes a lock of each socket for a
/// moment, and a handler that blocks a socket's thread does not hold it up.
#[derive(Clone)]
#[must_use = "it does nothing until it is given to App::service"]
pub struct HealthPages {
    live: String,
    ready: String,
    sockets: Vec<(Arc<SocketCore>, HealthCriteria)>,
}

impl HealthPages {
    /// Looks at this socket as well, as [`Socket::health`] does.
    pub fn socket(self, socket: &Socket) -> Self {
        self.socket_with(socket, HealthCriteria::new())
    }

    /// Looks at this socket as well, by criteria of its own.
    pub fn socket_with(mut self, socket: &Socket, criteria: HealthCriteria) -> Self {
        self.sockets.push((Arc::clone(socket.core()), criteria));
        self
    }

    /// The answer to one probe: which of the sockets are not `well`.
    fn answer(&self, well: impl Fn(&Health) -> bool) -> HttpResponse {
        let mut told = String::new();
        for (core, criteria) in &self.sockets {
            let health = core.health(criteria);
            if !well(&health) {
                let name = core.config.name.as_deref().unwrap_or("the socket");
                told.push_str(&format!("{name}: {health}\n"));
            }
        }
        respond(told)
    }

    fn is_live(&self) -> HttpResponse {
        self.answer(Health::is_live)
    }

    fn is_ready(&self) -> HttpResponse {
        match self.sockets.is_empty() {
            true => respond("there is no socket\n".to_owned()),
            false => self.answer(Health::is_ready),
        }
    }
}

/// All is well unless there is something to tell.
fn respond(told: String) -> HttpResponse {
    let (status, body) = match told.is_empty() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, told),
    };
    HttpResponse::build(status)
        .content_type(ContentType::plaintext())
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(body)
}

impl HttpServiceFactory for HealthPages {
    fn register(self, config: &mut AppService) {
        let (live, ready) = (self.live.clone(), self.ready.clone());
        let pages = self.clone();
        let is_live = move || std::future::ready(pages.is_live());
        let is_ready = move || std::future::ready(self.is_ready());
        web::resource(live)
            .route(web::get().to(is_live.clone()))
            .route(web::head().to(is_live))
            .register(config);
        web::resource(ready)
            .route(web::get().to(is_ready.clone()))
            .route(web::head().to(is_ready))
            .register(config);
    }
}

impl fmt::Debug for HealthPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthPages")
            .field("live", &self.live)
            .field("ready", &self.ready)
            .field("sockets", &self.sockets.len())
            .finish()
    }
}
