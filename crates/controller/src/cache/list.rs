//! Lists a collection page by page and gives each object as text, and reads single objects.
//!
//! Every request ends: an answer that does not come is an error. Keeps nothing.

use crate::cache::decode::{Record, decode};
use crate::live::{ReadError, TIMEOUT, send, within};
use kube::api::{GetParams, ListParams};
use kube::core::{Request, Status};
use kube::{Client, Resource as _};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// Objects in one page.
const PAGE: u32 = 500;
/// Time for one page.
const PAGE_TIMEOUT: Duration = Duration::from_mins(1);

/// How much of each object is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The whole object.
    Whole,
    /// Its metadata.
    Metadata,
}

/// The URL of the objects of a kind in a namespace, or in all when it is empty.
pub fn url_of<R: Record>(namespace: &str) -> String {
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
    R::Object::url_path(&(), namespace)
}

#[derive(Deserialize)]
struct Page<'a> {
    metadata: PageMetadata,
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

/// A consistent list (nothing older than now) of the objects that a label selector matches. Gives each to `each`, and
/// returns the version of the list.
///
/// # Errors
/// When a page cannot be read. The objects of the pages before it have been given to `each` by then.
pub async fn list(
    client: &Client,
    url: &str,
    selector: Option<&str>,
    extent: Extent,
    mut each: impl FnMut(&RawValue),
) -> Result<String, ReadError> {
    let mut params = ListParams::default().limit(PAGE);
    params.label_selector = selector.map(str::to_owned);
    let collection = Request::new(url);
    loop {
        let request = match extent {
            Extent::Whole => collection.list(&params),
            Extent::Metadata => collection.list_metadata(&params),
        };
        let request = request.map_err(kube::Error::BuildRequest)?;
        let page = within(PAGE_TIMEOUT, send(client, request)).await?;
        let page: Page<'_> = serde_json::from_slice(&page)?;
        page.items.into_iter().flatten().for_each(&mut each);
        if page.metadata.next.is_empty() {
            return Ok(page.metadata.resource_version);
        }
        params.continue_token = Some(page.metadata.next);
    }
}

/// Reads the object of that name from the API server; `None` when there is none.
///
/// # Errors
/// When there is no answer, or the answer is not an object.
pub async fn get<R: Record>(client: &Client, namespace: &str, name: &str) -> Result<Option<R>, ReadError> {
    let request = Request::new(url_of::<R>(namespace)).get(name, &GetParams::default());
    let request = request.map_err(kube::Error::BuildRequest)?;
    match within(TIMEOUT, send(client, request)).await {
        Ok(object) => Ok(Some(decode(serde_json::from_slice(&object)?)?)),
        Err(error) if error.status().is_some_and(Status::is_not_found) => Ok(None),
        Err(error) => Err(error),
    }
}
