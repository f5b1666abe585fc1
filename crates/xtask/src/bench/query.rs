//! The parameters of lists and watches, and the objects in one page of a list.
//!
//! It renders no objects and keeps no state.

use super::objects::Objects;
use super::population::{Item, Kind};
use super::selector::Selector;
use super::template::Field;

/// The objects that a list or a watch is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) kind: Kind,
    /// `None` means all namespaces.
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
}

impl Selection {
    pub(super) fn holds(&self, objects: &Objects, item: Item) -> bool {
        let is_in = |namespace: &String| objects.value(item, Field::Namespace) == *namespace;
        item.kind == self.kind
            && self.namespace.as_ref().is_none_or(is_in)
            && objects.matches(item, &self.selector)
    }
}

/// The parameters of a list or a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) selector: Selector,
    pub(super) is_watch: bool,
    /// Objects in one page of a list; `None` means all.
    limit: Option<usize>,
    token: Option<Token>,
    /// The requested resourceVersion; empty when the request has none.
    pub(super) version: String,
    pub(super) with_bookmarks: bool,
    pub(super) with_initial_events: bool,
    pub(super) timeout_seconds: Option<u64>,
}

/// A continue token: the number at which the next page begins, and the resourceVersion of the whole list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    version: u64,
    index: usize,
}

impl Query {
    /// Parses the query of a request; the error names the parameter that is not supported.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut query = Self::default();
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{key}={value} is not a number"))
            };
            let is_true = matches!(&*value, "true" | "1");
            match &*key {
                "labelSelector" => query.selector = Selector::parse(&value)?,
                "watch" => query.is_watch = is_true,
                "limit" => query.limit = usize::try_from(number()?).ok().filter(|limit| *limit > 0),
                "continue" if value.is_empty() => {}
                "continue" => query.token = Some(Token::parse(&value)?),
                "resourceVersion" => query.version = value.into_owned(),
                "allowWatchBookmarks" => query.with_bookmarks = is_true,
                "sendInitialEvents" => query.with_initial_events = is_true,
                "timeoutSeconds" => query.timeout_seconds = Some(number()?),
                "resourceVersionMatch" | "pretty" | "fieldManager" | "fieldValidation" | "force" => {}
                _ => return Err(format!("query parameter {key} is not supported")),
            }
        }
        // The API server answers such a list from its watch cache and ignores the limit.
        if query.version == "0" {
            query.limit = None;
        }
        Ok(query)
    }
}

impl Token {
    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split_once('.');
        let parsed = parts.and_then(|(version, index)| {
            Some(Self {
                version: version.parse().ok()?,
                index: index.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| format!("continue token {text:?} is not one of this server"))
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The numbers of the objects in it.
    pub(super) items: Vec<usize>,
    /// The resourceVersion of the whole list.
    pub(super) version: u64,
    /// The continue token of the next page; empty on the last page.
    pub(super) token: String,
}

impl Page {
    /// The page that `query` asks for, of a cluster that is at `version` now.
    pub(super) fn of(objects: &Objects, selection: &Selection, query: &Query, version: u64) -> Self {
        let version = query.token.map_or(version, |token| token.version);
        let begin = query.token.map_or(0, |token| token.index);
        let kind = selection.kind;
        let selected = |index: &usize| selection.holds(objects, Item { kind, index: *index });
        let mut found = (begin..objects.population.count(kind)).filter(selected);
        let items = found.by_ref().take(query.limit.unwrap_or(usize::MAX)).collect();
        let next = found.next();
        Self {
            items,
            version,
            token: next.map_or_else(String::new, |index| format!("{version}.{index}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::population::Population;

    fn objects() -> Objects {
        Objects::new(Population {
            clonesets: 60,
            revisions: 2,
            pods: 20,
        })
        .expect("objects")
    }

    fn selection(kind: Kind, namespace: Option<&str>, selector: &str) -> Selection {
        Selection {
            kind,
            namespace: namespace.map(str::to_owned),
            selector: Selector::parse(selector).expect("a selector"),
        }
    }

    fn listed(selection: &Selection, limit: usize) -> Vec<Vec<usize>> {
        let objects = objects();
        let (mut pages, mut token, mut version) = (Vec::new(), String::new(), 5_000);
        loop {
            let query = Query::parse(&format!("limit={limit}&continue={token}")).expect("a query");
            let page = Page::of(&objects, selection, &query, version);
            assert_eq!(page.version, 5_000, "every page is of the same list");
            pages.push(page.items);
            token = page.token;
            version += 1;
            if token.is_empty() {
                return pages;
            }
        }
    }

    #[test]
    fn pages_hold_every_object_once_and_the_last_one_has_no_token() {
        let pages = listed(&selection(Kind::Pod, None, ""), 500);
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 200]);
        assert_eq!(pages.concat(), (0..1_200).collect::<Vec<_>>());
        let exact = listed(&selection(Kind::CloneSet, None, ""), 30);
        assert_eq!(exact.iter().map(Vec::len).collect::<Vec<_>>(), [30, 30]);
    }

    #[test]
    fn pages_are_counted_after_selecting() {
        let second = selection(Kind::Pod, Some("team-001"), "app");
        let pages = listed(&second, 150);
        assert_eq!(pages.concat(), (1_000..1_200).collect::<Vec<_>>());
        assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [150, 50]);
        let one = selection(Kind::Pod, None, "app=checkout-00007,team=payments");
        assert_eq!(listed(&one, 500), [(140..160).collect::<Vec<_>>()]);
        assert_eq!(
            listed(&selection(Kind::Pod, None, "absent"), 10),
            [Vec::<usize>::new()]
        );
        assert_eq!(
            listed(&selection(Kind::Claim, None, ""), 10),
            [Vec::<usize>::new()]
        );
    }

    #[test]
    fn a_list_from_the_watch_cache_has_no_pages() {
        let query = Query::parse("limit=10&resourceVersion=0").expect("a query");
        let page = Page::of(&objects(), &selection(Kind::CloneSet, None, ""), &query, 1);
        assert_eq!((page.items.len(), page.token.as_str()), (60, ""));
    }

    #[test]
    fn a_parameter_that_is_not_supported_is_an_error() {
        for query in [
            "fieldSelector=spec.nodeName%3Dnode-1",
            "limit=many",
            "continue=abc",
        ] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
    }
}
