//! Objects as other clients write them: defaults, nulls, empty structs, fields of tomorrow.

use anyhow::Result;
use e2e::fixtures::{OLD, cloneset, manifest};
use e2e::{Counters, in_namespace};
use http::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn the_api_server_fills_in_the_defaults_and_none_inside_the_template() -> Result<()> {
    in_namespace(async |ns| {
        let spec = json!({
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": OLD}]}}
        });
        let stored = ns.send(Method::POST, "", &manifest("web", &spec)).await?;
        let mut expected = spec;
        expected["replicas"] = json!(1);
        expected["revisionHistoryLimit"] = json!(10);
        expected["updateStrategy"] =
            json!({"type": "ReCreate", "partition": 0, "maxUnavailable": "20%", "maxSurge": 0});
        assert_eq!(stored["spec"], expected);
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_explicit_null_means_the_default() -> Result<()> {
    in_namespace(async |ns| {
        let nulls = json!({
            "replicas": null, "minReadySeconds": null, "revisionHistoryLimit": null, "lifecycle": null,
            "scaleStrategy": null, "volumeClaimTemplates": null, "progressDeadlineSeconds": null,
            "updateStrategy": {
                "type": null, "partition": null, "maxUnavailable": null, "maxSurge": null, "paused": null,
                "priorityStrategy": null, "scatterStrategy": null, "inPlaceUpdateStrategy": null
            }
        });
        let stored = ns.send(Method::POST, "", &cloneset("web", 1, &nulls)).await?;
        assert_eq!(stored["spec"]["replicas"], 1);
        assert_eq!(stored["spec"]["revisionHistoryLimit"], 10);
        let strategy = &stored["spec"]["updateStrategy"];
        for (field, default) in [
            ("type", json!("ReCreate")),
            ("partition", json!(0)),
            ("maxUnavailable", json!("20%")),
            ("maxSurge", json!(0)),
        ] {
            assert_eq!(strategy[field], default, "{field}");
        }
        let stored = ns
            .send(
                Method::POST,
                "",
                &cloneset("other", 1, &json!({"updateStrategy": null})),
            )
            .await?;
        assert_eq!(stored["spec"]["updateStrategy"]["maxUnavailable"], "20%");
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        ns.reaches("other", Counters::at_rest(1, 1)).await?;
        Ok(())
    })
    .await
}

/// What a Go client sends: zero values of structs without `omitempty`, null times, fields newer than our types.
fn written_by_go() -> Value {
    json!({
        "apiVersion": "apps.kruise.io/v1alpha1",
        "kind": "CloneSet",
        "metadata": {"name": "web", "creationTimestamp": null},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"creationTimestamp": null, "labels": {"app": "web"}},
                "spec": {
                    "containers": [{"name": "main", "image": OLD, "resources": {}}],
                    "aFieldOfTomorrow": {"keep": ["me", null, 1.5]}
                }
            },
            "scaleStrategy": {},
            "updateStrategy": {"inPlaceUpdateStrategy": {}, "priorityStrategy": {}},
            "lifecycle": {"preDelete": {}}
        },
        "status": {
            "replicas": 0, "readyReplicas": 0, "availableReplicas": 0, "updatedReplicas": 0,
            "updatedReadyReplicas": 0, "updatedAvailableReplicas": 0, "expectedUpdatedReplicas": 0,
            "updateRevision": "", "currentRevision": ""
        }
    })
}

#[tokio::test]
async fn an_object_written_by_a_go_client_is_accepted_and_survives_a_read_modify_write() -> Result<()> {
    in_namespace(async |ns| {
        let sent = written_by_go();
        ns.create_cloneset(&sent).await?;
        let reported = ns.reaches("web", Counters::at_rest(0, 0)).await?;

        let mut read = ns.send(Method::GET, "/web", &json!({})).await?;
        assert_eq!(
            read["spec"]["template"], sent["spec"]["template"],
            "every field of the template is kept"
        );
        for field in ["scaleStrategy", "lifecycle"] {
            assert_eq!(read["spec"][field], sent["spec"][field], "{field}");
        }
        read["spec"]["minReadySeconds"] = json!(7);
        read["status"] = sent["status"].clone();
        let written = ns.send(Method::PUT, "/web", &read).await?;
        assert_eq!(written["spec"], read["spec"]);
        assert_eq!(
            written["status"]["updateRevision"],
            json!(reported.status.and_then(|status| status.update_revision)),
            "an update of the object is none of its status"
        );

        // Once the status of this generation is written, nothing changes the object any more.
        let mut typed = ns.reaches("web", Counters::at_rest(0, 0)).await?;
        typed.spec.min_ready_seconds = Some(8);
        ns.clonesets()
            .replace("web", &kube::api::PostParams::default(), &typed)
            .await?;
        let read = ns.send(Method::GET, "/web", &json!({})).await?;
        assert_eq!(
            read["spec"]["template"], sent["spec"]["template"],
            "our own types drop nothing either"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_same_template_in_another_clients_words_is_the_same_revision() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&cloneset("web", 1, &json!({}))).await?;
        let first = ns.reaches("web", Counters::at_rest(1, 1)).await?;
        let before = ns.pods_of("web").await?;
        let reworded = json!({"spec": {"template": {
            "metadata": {"annotations": {}},
            "spec": {
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 30,
                "securityContext": {},
                "containers": [
                    {"name": "main", "image": OLD, "resources": {}, "imagePullPolicy": "IfNotPresent"}
                ]
            }
        }}});
        ns.patch("web", reworded).await?;
        let second = ns.reaches("web", Counters::at_rest(1, 1)).await?;
        assert_ne!(second.metadata.generation, first.metadata.generation);
        assert_eq!(
            second.status.and_then(|status| status.update_revision),
            first.status.and_then(|status| status.update_revision)
        );
        ns.leaves_alone("web", &before).await
    })
    .await
}
