//! The addresses of a name, followed by DNS.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use super::source::{Discover, DiscoverFuture, DiscoveredPeer, SourceError};
use crate::address::{Endpoint, ParseEndpointError, ToEndpoint};
use crate::clock;

/// Bounds of the time after which a name is looked up again, whatever its time to live.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// How long one lookup may take, whatever the search list and the name servers that do not answer.
const LOOKUP: Duration = Duration::from_secs(10);

/// The longest pause after a look of which a part failed.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Looks, one after the other, of which a part fails until that is told.
const TOLD_AFTER: u32 = 3;

/// Targets of SRV records that are looked up at a time.
const AT_A_TIME: usize = 16;

/// The records that have addresses.
const FAMILIES: [RecordType; 2] = [RecordType::A, RecordType::AAAA];

/// The most targets of SRV records that are looked up.
const MAX_TARGETS: usize = 4096;

/// A name whose addresses are all peers, as [`Socket::connect`](crate::Socket::connect) follows it for an endpoint with
/// `dns+`.
///
/// A and AAAA records are looked up with the name servers and the search list of the system. A name that begins with an
/// underscore, as `dns+tcp://_jobs._tcp.workers.example`, is looked up as SRV: its records name the ports, those of the lowest
/// priority count, and weights do not. A name is looked up again when the time to live of its records is over, which is taken
/// for one second to five minutes, less a random tenth. One lookup takes ten seconds at most. What is cut off in an answer
/// over UDP is asked for over TCP. If one family of addresses, or one target of several, cannot be looked up, what is known
/// of it stays, and it is tried again after a second, and then after longer and longer, up to half a minute.
///
/// Over TLS and WebSocket, the name in the certificate and in the request is that of the endpoint, without the labels with
/// underscores. Use this type itself to ask name servers of your choice:
///
/// ```no_run
/// use actix_aiomsg::Socket;
/// use actix_aiomsg::discovery::Dns;
///
/// # async fn example(socket: Socket) -> Result<(), Box<dyn std::error::Error>> {
/// let dns = Dns::new("dns+tcp://workers.example:25000")?.name_server("10.0.0.2:53".parse()?);
/// socket.discover(dns).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[cfg_attr(docsrs, doc(cfg(feature = "dns")))]
pub struct Dns {
    endpoint: Endpoint,
    /// Asked in place of the system's.
    name_servers: Vec<SocketAddr>,
    next_look: Option<Instant>,
    /// What the last answers said, for when the next one fails.
    known: HashMap<(Name, RecordType), Vec<IpAddr>>,
    /// Looks, one after the other, of which a part failed.
    partly_failed: u32,
    /// The endpoints of peers have the name in any case.
    keeps_name: bool,
}

/// Addresses of one name in one family, with the time for which they are good.
struct Addresses {
    of: (Name, RecordType),
    found: Vec<IpAddr>,
    good_for: Duration,
}

impl Dns {
    /// Follows the host of an endpoint, with or without its `dns+`.
    ///
    /// # Errors
    ///
    /// When it is not an endpoint.
    pub fn new(endpoint: impl ToEndpoint) -> Result<Self, ParseEndpointError> {
        let endpoint = endpoint.to_endpoint()?;
        Ok(Self {
            endpoint,
            name_servers: Vec::new(),
            next_look: None,
            known: HashMap::new(),
            partly_failed: 0,
            keeps_name: false,
        })
    }

    /// The peers are dialled with TLS, whatever the scheme: their endpoints keep the name, which certificates are for.
    #[cfg(feature = "tls")]
    pub(crate) fn with_tls(mut self, is_spoken: bool) -> Self {
        self.keeps_name = is_spoken;
        self
    }

    /// Asks this name server, over UDP and TCP, in place of those of the system; may be called several times.
    #[must_use]
    pub fn name_server(mut self, address: SocketAddr) -> Self {
        self.name_servers.push(address);
        self
    }

    /// A resolver with the configuration that the system has now.
    fn resolver(&self) -> Result<TokioResolver, NetError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if self.name_servers.is_empty() {
            Resolver::builder(provider)?
        } else {
            let servers = self.name_servers.iter().map(|server| {
                let connection = |mut config: ConnectionConfig| {
                    config.port = server.port();
                    config
                };
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                config.connections = config.connections.into_iter().map(connection).collect();
                config
            });
            let config = ResolverConfig::from_name_servers(servers.collect());
            Resolver::builder_with_config(config, provider)
        };
        // The times to live are kept here.
        builder.options_mut().cache_size = 0;
        builder.build()
    }

    async fn look(&mut self) -> Result<(Vec<DiscoveredPeer>, Duration), SourceError> {
        let host = self.endpoint.host().unwrap_or_default();
        let name = Name::from_utf8(host).map_err(SourceError::new)?;
        let resolver = self.resolver().map_err(SourceError::new)?;
        let lookup = Lookup {
            resolver: &resolver,
            known: &self.known,
            failed: Mutex::default(),
        };
        let (peers, known) = if host.starts_with('_') {
            lookup.services(&name).await?
        } else {
            let port = self.endpoint.port().unwrap_or_default();
            lookup.hosts([(name, port)]).await?
        };
        let failed = lookup.failed.into_inner();
        self.known = known;
        let mut good_for = peers.good_for.clamp(LOOKS.0, LOOKS.1);
        match failed {
            Some(failed) => good_for = good_for.min(self.handle_part_failure(&failed)),
            None => self.partly_failed = 0,
        }
        let host = self.endpoint.host().unwrap_or_default();
        let found = peers.found.into_iter();
        let peers: Vec<_> = found.map(|address| self.peer_at(address)).collect();
        match peers.is_empty() {
            true => Err(SourceError::new(format_args!("{host} has no address"))),
            false => Ok((peers, good_for)),
        }
    }

    /// A part of a look failed: yields when it is tried again, whatever the others say.
    fn handle_part_failure(&mut self, failed: &str) -> Duration {
        self.partly_failed = self.partly_failed.saturating_add(1);
        if self.partly_failed == TOLD_AFTER {
            tracing::warn!(
                source = %self.endpoint,
                error = failed,
                "a part of a name cannot be looked up; what is known of it stays"
            );
        }
        let doublings = (self.partly_failed - 1).min(8);
        (LOOKS.0 * 2_u32.pow(doublings)).min(LONGEST_RETRY)
    }

    fn peer_at(&self, address: SocketAddr) -> DiscoveredPeer {
        let peer = DiscoveredPeer::new(self.endpoint.found_at(address, self.keeps_name));
        match peer.endpoint().ip() {
            Some(_) => peer,
            None => peer.at(address),
        }
    }
}

impl Discover for Dns {
    /// The endpoint.
    fn name(&self) -> String {
        self.endpoint.to_string()
    }

    fn next(&mut self) -> DiscoverFuture<'_> {
        Box::pin(async move {
            if let Some(due) = self.next_look {
                sleep_until(due).await;
            }
            // After a failure the caller decides when to look again.
            self.next_look = None;
            let (peers, good_for) = self.look().await?;
            let due = clock::now() + shortened(good_for);
            self.next_look = Some(Instant::from_std(due));
            Ok(peers)
        })
    }
}

/// Less up to a tenth, so that those who began together do not ask together for ever.
fn shortened(time: Duration) -> Duration {
    let share = getrandom::u32().map_or(0.0, |random| f64::from(random) / f64::from(u32::MAX));
    time.mul_f64(1.0 - share / 10.0)
}

/// Peers with their ports, and the time for which they are good.
struct Peers {
    found: Vec<SocketAddr>,
    good_for: Duration,
}

type Known = HashMap<(Name, RecordType), Vec<IpAddr>>;

/// One look at a name.
struct Lookup<'a> {
    resolver: &'a TokioResolver,
    known: &'a Known,
    /// Why a part of it failed, if one did.
    failed: Mutex<Option<String>>,
}

impl Lookup<'_> {
    /// The addresses of the targets of a service.
    async fn services(&self, name: &Name) -> Result<(Peers, Known), SourceError> {
        let answer = self.records(name.clone(), RecordType::SRV).await;
        let (_, records) = answer.map_err(SourceError::new)?;
        let good_for = time_to_live(&records);
        let targets = records.iter().filter_map(|record| match &record.data {
            RData::SRV(service) => Some(service),
            _ => None,
        });
        let preferred = targets.clone().map(|service| service.priority).min();
        let targets = targets.filter(|service| Some(service.priority) == preferred);
        // A lone root says that there is decidedly no such service (RFC 2782).
        let targets = targets.filter(|service| !service.target.is_root());
        let hosts = targets.map(|service| {
            let mut target = service.target.clone();
            target.set_fqdn(true);
            (target, service.port)
        });
        let (mut peers, known) = self.hosts(hosts.take(MAX_TARGETS)).await?;
        peers.good_for = peers.good_for.min(good_for);
        Ok((peers, known))
    }

    /// The addresses of these hosts, each with its port. Those of one that cannot be looked up are what is known of it; only
    /// if none can be looked up is that an error.
    async fn hosts(
        &self,
        hosts: impl IntoIterator<Item = (Name, u16)>,
    ) -> Result<(Peers, Known), SourceError> {
        let looking = hosts.into_iter().map(|(host, port)| async move {
            let addresses = self.addresses(&host).await;
            (host, port, addresses)
        });
        let mut looking = stream::iter(looking).buffered(AT_A_TIME);
        let (mut found, mut good_for, mut all_known) = (Vec::new(), LOOKS.1, Known::new());
        let (mut has_answer, mut failure) = (false, None);
        while let Some((host, port, addresses)) = looking.next().await {
            has_answer |= addresses.is_ok();
            let addresses = addresses.unwrap_or_else(|error| {
                tracing::debug!(%host, %error, "one of several hosts cannot be looked up");
                *self.failed.lock() = Some(error.to_string());
                failure = Some(error);
                self.known_of(&host)
            });
            for addresses in addresses {
                let ips = addresses.found.iter();
                found.extend(ips.map(|ip| SocketAddr::new(*ip, port)));
                good_for = good_for.min(addresses.good_for);
                all_known.insert(addresses.of, addresses.found);
            }
        }
        match failure {
            Some(error) if !has_answer => Err(error),
            Some(_) | None => Ok((Peers { found, good_for }, all_known)),
        }
    }

    /// What the last answers said of a host, in both families.
    fn known_of(&self, host: &Name) -> Vec<Addresses> {
        let families = FAMILIES.into_iter();
        families
            .filter_map(|family| self.known_in(host, family))
            .collect()
    }

    /// What the last answer said of a host in one family.
    fn known_in(&self, host: &Name, family: RecordType) -> Option<Addresses> {
        let of = (host.clone(), family);
        let found = self.known.get(&of)?.clone();
        Some(Addresses {
            of,
            found,
            good_for: LOOKS.1,
        })
    }

    /// The addresses of a host in both families. What is known of one that cannot be looked up stays, if the other has
    /// addresses; otherwise that is an error.
    async fn addresses(&self, host: &Name) -> Result<Vec<Addresses>, SourceError> {
        let (mut all, mut failure) = (Vec::new(), None);
        let mut has_some = false;
        // The search list decides once which name is meant.
        let mut meant = host.clone();
        for family in FAMILIES {
            match self.records(meant.clone(), family).await {
                Ok((name, records)) => {
                    let found: Vec<_> = records.iter().filter_map(address_in).collect();
                    if !found.is_empty() {
                        meant = name;
                        has_some = true;
                    }
                    all.push(Addresses {
                        of: (host.clone(), family),
                        found,
                        good_for: time_to_live(&records),
                    });
                }
                Err(error) => {
                    all.extend(self.known_in(host, family));
                    failure = Some((family, error));
                }
            }
        }
        match failure {
            Some((_, error)) if !has_some => Err(SourceError::new(format_args!(
                "{host} cannot be looked up: {error}"
            ))),
            Some((family, error)) => {
                tracing::debug!(%host, %family, %error, "one family of addresses cannot be looked up");
                *self.failed.lock() =
                    Some(format!("{host} cannot be looked up as {family}: {error}"));
                Ok(all)
            }
            None => Ok(all),
        }
    }

    /// The records of a name, and the name with which the search list found it. That there is none is no error.
    async fn records(
        &self,
        name: Name,
        records: RecordType,
    ) -> Result<(Name, Vec<Record>), NetError> {
        let lookup = self.resolver.lookup(name.clone(), records);
        let answer = timeout(LOOKUP, lookup).await;
        match answer.unwrap_or(Err(NetError::Timeout)) {
            Ok(lookup) => {
                let mut found_as = lookup.query().name().clone();
                found_as.set_fqdn(true);
                Ok((found_as, lookup.answers().to_vec()))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Ok((name, Vec::new())),
            Err(error) => Err(error),
        }
    }
}

fn address_in(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

fn time_to_live(records: &[Record]) -> Duration {
    let shortest = records.iter().map(|record| record.ttl).min();
    shortest.map_or(LOOKS.1, |seconds| Duration::from_secs(seconds.into()))
}
