//! The paths of hubs: a path is configured for a hub, or belongs to the first hub whose app servers
//! asked for it, as long as one of them is connected.

use std::cmp::Reverse;

use super::TrunkNumber;

/// The place of a hub in the directory's list.
type HubNumber = usize;

/// All paths of the node, the longest first.
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Route>);

#[derive(Debug)]
struct Route {
    /// The prefix, including a slash at the end if requests must have it.
    prefix: String,
    hub: HubNumber,
    standing: Standing,
    /// The trunks whose app servers asked for this path.
    holders: Vec<TrunkNumber>,
}

/// The reason why a hub has a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Configured,
    /// The default hub has it until its app servers ask for other paths. No other hub gets it.
    Default,
    FirstCome,
}

impl Routes {
    /// `configured`: hubs and their paths, without repetitions.
    pub(crate) fn new<'a>(
        configured: impl IntoIterator<Item = (HubNumber, &'a str)>,
        default: Option<(HubNumber, &str)>,
    ) -> Self {
        let route = |hub, path: &str, standing| {
            let prefix = format!("{}/", path.trim_end_matches('/'));
            Route { prefix, hub, standing, holders: Vec::new() }
        };
        let configured = configured.into_iter();
        let mut routes: Vec<Route> =
            configured.map(|(hub, path)| route(hub, path, Standing::Configured)).collect();
        routes.extend(default.map(|(hub, path)| route(hub, path, Standing::Default)));
        let mut routes = Self(routes);
        routes.sort();
        routes
    }

    /// Takes the paths of a changed configuration. App servers that are connected keep the paths for
    /// which they asked, except those that belong to another hub now.
    pub(crate) fn replace_with(&mut self, configured: Self) {
        let former = std::mem::replace(self, configured);
        for route in former.0.into_iter().filter(|route| !route.holders.is_empty()) {
            for holder in route.holders {
                // Another hub has it by now: its clients connect at the hub's own path.
                let _ = self.claim(&route.prefix, route.hub, holder);
            }
        }
    }

    /// The hub whose clients use this path.
    pub(crate) fn find(&self, path: &str) -> Option<HubNumber> {
        let mut found = self.0.iter().filter(|route| route.matches(path));
        found.find(|route| self.is_served(route)).map(|route| route.hub)
    }

    /// Notes that an app server of the hub serves clients at this prefix. The error is the hub to
    /// which the path belongs.
    pub(crate) fn claim(
        &mut self,
        prefix: &str,
        hub: HubNumber,
        trunk: TrunkNumber,
    ) -> Result<(), HubNumber> {
        if let Some(other) = self.owner_beside(prefix, hub) {
            return Err(other);
        }
        match self.0.iter_mut().find(|route| route.hub == hub && route.prefix == prefix) {
            Some(route) => route.holders.push(trunk),
            None => {
                let (prefix, standing) = (prefix.to_owned(), Standing::FirstCome);
                self.0.push(Route { prefix, hub, standing, holders: vec![trunk] });
                self.sort();
            }
        }
        Ok(())
    }

    /// Notes that the trunk has ended: a path that only its app server held is free again.
    pub(crate) fn release(&mut self, trunk: TrunkNumber) {
        for route in &mut self.0 {
            route.holders.retain(|holder| *holder != trunk);
        }
        self.0.retain(|route| route.standing != Standing::FirstCome || !route.holders.is_empty());
    }

    /// The paths at which the hub's clients may connect.
    pub(crate) fn of_hub(&self, hub: HubNumber) -> impl Iterator<Item = &str> {
        let own = self.0.iter().filter(move |route| route.hub == hub && self.is_served(route));
        own.map(|route| &*route.prefix)
    }

    /// Another hub that has this path, or of whose clients this path would take a part. A wider
    /// path takes no clients.
    fn owner_beside(&self, prefix: &str, hub: HubNumber) -> Option<HubNumber> {
        let mut others = self.0.iter().filter(|route| route.hub != hub);
        others.find(|route| is_within(prefix, &route.prefix)).map(|route| route.hub)
    }

    fn is_served(&self, route: &Route) -> bool {
        let asked_elsewhere =
            || self.0.iter().any(|other| other.hub == route.hub && !other.holders.is_empty());
        route.standing != Standing::Default || !route.holders.is_empty() || !asked_elsewhere()
    }

    fn sort(&mut self) {
        self.0.sort_by_key(|route| Reverse(route.prefix.len()));
    }
}

impl Route {
    /// Whether a path begins with the prefix; the prefix ends at the end of a segment.
    fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(&*self.prefix) else {
            // A configured path is for clients with and without the slash at the end.
            let bare = self.prefix.strip_suffix('/');
            return self.standing == Standing::Configured && bare == Some(path);
        };
        self.prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/')
    }
}

/// Whether a path is another one or below it. Paths below the root do not count: the root's clients
/// request `/` itself.
fn is_within(path: &str, other: &str) -> bool {
    let (path, other) = (path.trim_end_matches('/'), other.trim_end_matches('/'));
    let below = |rest: &str| rest.is_empty() || rest.starts_with('/') && !other.is_empty();
    path.strip_prefix(other).is_some_and(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: HubNumber = 0;
    const ALPHA: HubNumber = 1;
    const BETA: HubNumber = 2;

    fn routes() -> Routes {
        Routes::new([(BETA, "/beta")], Some((DEFAULT, "/socket.io/")))
    }

    #[test]
    fn a_configured_path_is_its_hubs_whoever_is_connected() {
        let mut routes = routes();
        for prefix in ["/beta/", "/beta", "/beta/inner/"] {
            assert_eq!(routes.claim(prefix, ALPHA, 1), Err(BETA), "{prefix}");
        }
        assert_eq!(routes.find("/beta/"), Some(BETA));
        assert_eq!(routes.find("/beta"), Some(BETA));
        assert_eq!(routes.find("/betamax/"), None);
        assert_eq!(routes.claim("/beta/", BETA, 2), Ok(()));
        routes.release(2);
        assert_eq!(routes.find("/beta/"), Some(BETA));
    }

    #[test]
    fn the_first_to_come_has_a_path_while_one_of_its_app_servers_lives() {
        let mut routes = routes();
        assert_eq!(routes.claim("/chat/", ALPHA, 1), Ok(()));
        assert_eq!(routes.claim("/chat/", ALPHA, 2), Ok(()));
        assert_eq!(routes.claim("/chat/", BETA, 3), Err(ALPHA));
        routes.release(1);
        assert_eq!(routes.claim("/chat/", BETA, 4), Err(ALPHA));
        assert_eq!(routes.find("/chat/"), Some(ALPHA));
        routes.release(2);
        assert_eq!(routes.find("/chat/"), None, "what was refused stays so, and nobody is there");
        assert_eq!(routes.claim("/chat/", BETA, 5), Ok(()));
        assert_eq!(routes.find("/chat/"), Some(BETA));
    }

    #[test]
    fn the_default_path_is_the_default_hubs_even_while_it_uses_another() {
        let mut routes = routes();
        assert_eq!(routes.find("/socket.io/"), Some(DEFAULT));
        assert_eq!(routes.claim("/socket.io/", ALPHA, 1), Err(DEFAULT));
        assert_eq!(routes.claim("/own/", DEFAULT, 2), Ok(()));
        assert_eq!(routes.find("/socket.io/"), None, "as at the app itself");
        assert_eq!(routes.claim("/socket.io/", ALPHA, 3), Err(DEFAULT));
        assert_eq!(routes.claim("/socket.io/", DEFAULT, 4), Ok(()));
        assert_eq!(routes.find("/socket.io/"), Some(DEFAULT), "two app servers, two paths");
        assert_eq!(routes.of_hub(DEFAULT).collect::<Vec<_>>(), ["/socket.io/", "/own/"]);
        routes.release(2);
        routes.release(4);
        assert_eq!(routes.of_hub(DEFAULT).collect::<Vec<_>>(), ["/socket.io/"]);
    }

    #[test]
    fn nobody_gets_a_part_of_anothers_path_and_a_wider_one_takes_nothing() {
        let mut routes = routes();
        assert_eq!(routes.claim("/app/", ALPHA, 1), Ok(()));
        assert_eq!(routes.claim("/app/inner/", BETA, 2), Err(ALPHA));
        assert_eq!(routes.claim("/app", BETA, 2), Err(ALPHA), "but for the slash it is the same");
        assert_eq!(routes.claim("/", BETA, 3), Ok(()));
        assert_eq!(routes.find("/app/"), Some(ALPHA));
        assert_eq!(routes.find("/"), Some(BETA));
        assert_eq!(routes.claim("/other/", ALPHA, 4), Ok(()), "the root bars nobody");
        assert_eq!(routes.find("/other/"), Some(ALPHA));
    }

    #[test]
    fn a_prefix_without_a_slash_ends_with_its_segment() {
        let mut routes = routes();
        assert_eq!(routes.claim("/bet", ALPHA, 1), Ok(()));
        assert_eq!(routes.find("/bet"), Some(ALPHA));
        assert_eq!(routes.find("/bet/"), Some(ALPHA));
        assert_eq!(routes.find("/better/"), None);
        assert_eq!(routes.find("/beta/"), Some(BETA));
    }
}
