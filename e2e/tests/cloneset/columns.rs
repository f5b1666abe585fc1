//! What `kubectl get clone` shows: names of columns that scripts cut out, in the order they rely on.

use anyhow::Result;
use e2e::fixtures::{NEW, cloneset};
use e2e::{Counters, in_namespace};
use serde_json::json;

const HEADER: &str = "NAME DESIRED UPDATED UPDATED_READY UPDATED_AVAILABLE READY TOTAL AGE";

#[tokio::test]
async fn kubectl_get_shows_how_far_the_rollout_is() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"updateStrategy": {"partition": 1, "maxUnavailable": 1}});
        ns.create_cloneset(&cloneset("web", 2, &strategy)).await?;
        ns.reaches(
            "web",
            Counters {
                expected_updated: 1,
                ..Counters::at_rest(2, 2)
            },
        )
        .await?;
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(2, 1)).await?;

        let table = cells(&ns.kubectl(&["get", "clone", "web"]).await?);
        assert_eq!(
            table.first().map(|header| header.join(" ")).as_deref(),
            Some(HEADER)
        );
        let row = table.get(1).cloned().unwrap_or_default();
        assert_eq!(row.len(), 8, "{row:?}");
        assert!(row.join(" ").starts_with("web 2 1 1 1 2 2 "), "{row:?}");

        let wide = cells(
            &ns.kubectl(&["get", "clonesets", "web", "--output", "wide"])
                .await?,
        );
        let header = format!("{HEADER} CONTAINERS IMAGES SELECTOR");
        assert_eq!(wide.first().map(|header| header.join(" ")), Some(header));
        let row = wide.get(1).cloned().unwrap_or_default().join(" ");
        assert!(row.ends_with(" main nginx:alpine app=web"), "{row}");
        Ok(())
    })
    .await
}

/// Rows of cells; no cell of ours holds a space.
fn cells(table: &str) -> Vec<Vec<String>> {
    table
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}
