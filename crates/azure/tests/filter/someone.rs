//! A connection for filter tests.

use trunkline_azure::filter::Connection;

#[derive(Clone, Debug, Default)]
pub(crate) struct Someone {
    pub(crate) id: String,
    pub(crate) user: Option<String>,
    pub(crate) groups: Vec<String>,
}

impl Someone {
    pub(crate) fn new(id: &str, user: Option<&str>, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Self { id: id.into(), user: user.map(str::to_owned), groups }
    }
}

impl Connection for Someone {
    fn connection_id(&self) -> &str {
        &self.id
    }

    fn user_id(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    fn group_count(&self) -> usize {
        self.groups.len()
    }

    fn any_group(&self, test: &mut dyn FnMut(&str) -> bool) -> bool {
        self.groups.iter().any(|group| test(group))
    }
}
