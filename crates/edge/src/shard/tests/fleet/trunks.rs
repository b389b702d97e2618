//! The trunks between app servers and nodes: opened, lost, and without a stream for a while.

use std::time::Duration;

use trunkline_trunk::Frame;

use super::{Event, Fleet, Way};

impl Fleet {
    pub(super) fn connect_soon(&mut self, node: usize, server: usize) {
        let delay = self.delay() + Duration::from_millis(5);
        self.at(self.now + delay, Event::Connect { node, server });
    }

    /// Opens a trunk; its number is the app server's next.
    pub(super) fn connect(&mut self, node: usize, server: usize) {
        let (now, next) = (self.now, self.servers[server].next_number);
        let id = self.servers[server].id();
        if !self.servers[server].is_alive || self.nodes[node].trunks[server].is_some() {
            return;
        }
        let Some(process) = self.running(node) else {
            if self.nodes[node].process.is_some() {
                self.nodes[node].waiting.push_back(Event::Connect { node, server });
            }
            return;
        };
        process.world.now = now + process.ahead;
        let app = process.world.app(&id);
        process.world.app_says(&app, [Frame::Number { next }]);
        let trunk = self.servers[server].connected(node);
        self.nodes[node].trunks[server] = Some((app, trunk));
        self.work(node);
    }

    /// Breaks a trunk for good: what is on its way is lost.
    pub(super) fn disconnect(&mut self, node: usize, server: usize) {
        let Some((app, _)) = self.nodes[node].trunks[server].take() else { return };
        self.servers[server].disconnected(node);
        self.servers[server].is_lossy = true;
        let life = self.nodes[node].life;
        self.happens(Event::TrunkEnds { node, life, app });
        self.work(node);
    }

    /// Breaks the stream of a trunk, which goes on on another one a while later.
    pub(super) fn blip(&mut self, node: usize, server: usize, time: Duration) {
        let Some((app, trunk)) = &self.nodes[node].trunks[server] else { return };
        let (app, trunk) = (app.clone(), *trunk);
        let until = self.now + time;
        for way in [Way::Up(node, server), Way::Down(node, server)] {
            let last = self.last.entry(way).or_insert(until);
            *last = (*last).max(until);
        }
        if let Some(process) = self.running(node) {
            app.trunk.set_broken(Some(process.world.now));
            self.at(until, Event::Resumes { node, server, trunk });
        }
    }

    /// Ends an app server without a word.
    pub(super) fn kill_server(&mut self, server: usize) {
        self.note(("server dies", server));
        for node in 0..self.nodes.len() {
            self.disconnect(node, server);
        }
        self.servers[server].dies();
    }

    pub(super) fn start_server(&mut self, server: usize) {
        self.servers[server].starts();
        for node in 0..self.nodes.len() {
            self.connect_soon(node, server);
        }
    }
}
