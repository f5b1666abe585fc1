//! What the versions of a random set differ in, and the templates that say so.

use cloneset_api::names::{annotations, env};
use cloneset_testkit::World;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What changes from one version to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The image of the first container.
    Image,
    /// The images of all containers.
    Images,
    /// The image, and what the containers may use.
    Resources,
    /// An annotation alone.
    Annotation,
}

/// How the containers' launch priorities are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Launch {
    Together,
    /// By an environment variable of each.
    Variable,
    /// By an annotation: in their order.
    Ordered,
}

/// The pods of a set but for their version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    containers: usize,
    launch: Launch,
    change: Change,
}

pub(crate) fn shape() -> impl Strategy<Value = Shape> {
    let change = prop_oneof![
        4 => Just(Change::Image), 2 => Just(Change::Images), 1 => Just(Change::Resources),
        1 => Just(Change::Annotation)
    ];
    let launch = prop::sample::select(vec![Launch::Together, Launch::Variable, Launch::Ordered]);
    let containers = prop_oneof![3 => Just(1_usize), 2 => 2..4_usize];
    (containers, launch, change).prop_map(|(containers, launch, change)| Shape {
        containers,
        launch,
        change,
    })
}

impl Shape {
    /// Versions are images, so that one that does not work can be told by its image.
    pub(crate) fn changes_images(self) -> Self {
        let change = match self.change {
            Change::Annotation => Change::Image,
            change => change,
        };
        Self { change, ..self }
    }

    /// Can versions follow one another in place? Only where the gate for it is on, if they differ in resources.
    pub(crate) fn resizes(self) -> bool {
        self.change == Change::Resources
    }

    /// The template of a version.
    pub(crate) fn template(self, version: &str) -> Value {
        let image = |version: &str| format!("registry.local/web:{version}");
        let number: u32 = version.trim_start_matches('v').parse().unwrap_or(0);
        let container = |place: usize| {
            let follows = match self.change {
                Change::Image | Change::Resources => place == 0,
                Change::Images => true,
                Change::Annotation => false,
            };
            let image = if follows {
                image(version)
            } else {
                "registry.local/side:v1".to_owned()
            };
            let mut container = json!({"name": format!("c{place}"), "image": image});
            if self.launch == Launch::Variable {
                container["env"] =
                    json!([{"name": env::CONTAINER_PRIORITY, "value": (3 - place).to_string()}]);
            }
            if self.change == Change::Resources {
                container["resources"] = json!({"requests": {"cpu": format!("{}m", 100 * number)}});
            }
            container
        };
        let mut marks = serde_json::Map::new();
        if self.change == Change::Annotation {
            marks.insert("version".to_owned(), json!(image(version)));
        }
        if self.launch == Launch::Ordered {
            marks.insert(annotations::LAUNCH_PRIORITY.to_owned(), json!("Ordered"));
        }
        let containers: Vec<Value> = (0..self.containers).map(container).collect();
        json!({"metadata": {"annotations": marks}, "spec": {"containers": containers}})
    }

    /// The user writes another version into the template.
    pub(crate) fn write(self, world: &mut World, version: &str) {
        world.edit(&json!({"template": self.template(version)}));
    }
}
