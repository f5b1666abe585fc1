//! What others do to the recording server: people and controllers that change objects, policies that refuse pods.
//!
//! How the server carries out and answers requests is `server`'s business.

use crate::server::{Fault, Server, key_of};
use http::Method;
use serde_json::{Value, json};

impl Server {
    /// Somebody else creates or changes an object.
    pub(crate) fn put(&self, collection: &str, object: Value) {
        self.state.lock().unwrap().store(collection, object);
    }

    /// Somebody else deletes an object, and it goes at once.
    pub(crate) fn remove(&self, collection: &str, object: &Value) {
        self.state.lock().unwrap().vanish(collection, &key_of(object));
    }

    /// Somebody else changes an object so that it no longer has the label it is watched by.
    pub(crate) fn put_out_of_sight(&self, collection: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        state
            .objects
            .entry(collection.to_owned())
            .or_default()
            .insert(key_of(&object), object.clone());
        state.announce(collection, "DELETED", &object);
    }

    /// Somebody takes a label off the first object, so that it leaves the watch, but lives.
    pub(crate) fn lose_label(&self, collection: &str, label: &str) {
        let mut object = self.objects(collection).remove(0);
        object["metadata"]["labels"]
            .as_object_mut()
            .unwrap()
            .remove(label);
        self.put_out_of_sight(collection, object);
    }

    /// From now on every new pod is refused with this status object.
    pub(crate) fn refuse_pods(&self, refusal: Value) {
        self.fail(move |request| {
            if request.writes(&Method::POST, "pods") {
                Fault::Refuse(refusal.clone())
            } else {
                Fault::None
            }
        });
    }
}
