//! Tables of the volume types and their defaults. It must NOT hold logic beyond a type's own rule.

use super::image::default_pull_policy;
use super::meta::{
    LABEL_SELECTOR, LOCAL_OBJECT_REFERENCE, OBJECT_FIELD_SELECTOR, OBJECT_META, RESOURCE_FIELD_SELECTOR,
};
use super::shape::{Kind, Preset, Shape, field};
use serde_json::{Map, Value};

pub(super) static VOLUME: Shape = Shape {
    text: &["name"],
    fields: &[
        field("hostPath", Kind::Optional(&HOST_PATH_VOLUME_SOURCE)),
        field("emptyDir", Kind::Optional(&EMPTY_DIR_VOLUME_SOURCE)),
        field(
            "gcePersistentDisk",
            Kind::Optional(&GCE_PERSISTENT_DISK_VOLUME_SOURCE),
        ),
        field(
            "awsElasticBlockStore",
            Kind::Optional(&AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE),
        ),
        field("gitRepo", Kind::Optional(&GIT_REPO_VOLUME_SOURCE)),
        field("secret", Kind::Optional(&SECRET_VOLUME_SOURCE)),
        field("nfs", Kind::Optional(&NFS_VOLUME_SOURCE)),
        field("iscsi", Kind::Optional(&ISCSI_VOLUME_SOURCE)),
        field("glusterfs", Kind::Optional(&GLUSTERFS_VOLUME_SOURCE)),
        field(
            "persistentVolumeClaim",
            Kind::Optional(&PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE),
        ),
        field("rbd", Kind::Optional(&RBD_VOLUME_SOURCE)),
        field("flexVolume", Kind::Optional(&FLEX_VOLUME_SOURCE)),
        field("cinder", Kind::Optional(&CINDER_VOLUME_SOURCE)),
        field("cephfs", Kind::Optional(&CEPH_FS_VOLUME_SOURCE)),
        field("flocker", Kind::Optional(&FLOCKER_VOLUME_SOURCE)),
        field("downwardAPI", Kind::Optional(&DOWNWARD_API_VOLUME_SOURCE)),
        field("fc", Kind::Optional(&FC_VOLUME_SOURCE)),
        field("azureFile", Kind::Optional(&AZURE_FILE_VOLUME_SOURCE)),
        field("configMap", Kind::Optional(&CONFIG_MAP_VOLUME_SOURCE)),
        field(
            "vsphereVolume",
            Kind::Optional(&VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE),
        ),
        field("quobyte", Kind::Optional(&QUOBYTE_VOLUME_SOURCE)),
        field("azureDisk", Kind::Optional(&AZURE_DISK_VOLUME_SOURCE)),
        field(
            "photonPersistentDisk",
            Kind::Optional(&PHOTON_PERSISTENT_DISK_VOLUME_SOURCE),
        ),
        field("projected", Kind::Optional(&PROJECTED_VOLUME_SOURCE)),
        field("portworxVolume", Kind::Optional(&PORTWORX_VOLUME_SOURCE)),
        field("scaleIO", Kind::Optional(&SCALE_IO_VOLUME_SOURCE)),
        field("storageos", Kind::Optional(&STORAGE_OS_VOLUME_SOURCE)),
        field("csi", Kind::Optional(&CSI_VOLUME_SOURCE)),
        field("ephemeral", Kind::Optional(&EPHEMERAL_VOLUME_SOURCE)),
        field("image", Kind::Optional(&IMAGE_VOLUME_SOURCE)),
    ],
    rule: Some(default_source),
    ..Shape::new("Volume")
};

static HOST_PATH_VOLUME_SOURCE: Shape = Shape {
    text: &["path"],
    fields: &[field("type", Kind::Pointer).or(Preset::Text(""))],
    ..Shape::new("HostPathVolumeSource")
};

static EMPTY_DIR_VOLUME_SOURCE: Shape = Shape {
    text: &["medium"],
    fields: &[field("sizeLimit", Kind::Quantity)],
    ..Shape::new("EmptyDirVolumeSource")
};

static GCE_PERSISTENT_DISK_VOLUME_SOURCE: Shape = Shape {
    text: &["pdName", "fsType"],
    number: &["partition"],
    flag: &["readOnly"],
    ..Shape::new("GCEPersistentDiskVolumeSource")
};

static AWS_ELASTIC_BLOCK_STORE_VOLUME_SOURCE: Shape = Shape {
    text: &["volumeID", "fsType"],
    number: &["partition"],
    flag: &["readOnly"],
    ..Shape::new("AWSElasticBlockStoreVolumeSource")
};

static GIT_REPO_VOLUME_SOURCE: Shape = Shape {
    text: &["repository", "revision", "directory"],
    ..Shape::new("GitRepoVolumeSource")
};

static SECRET_VOLUME_SOURCE: Shape = Shape {
    text: &["secretName"],
    pointer: &["optional"],
    fields: &[
        field("items", Kind::ListOf(&KEY_TO_PATH)),
        field("defaultMode", Kind::Pointer).or(Preset::Number(420)),
    ],
    ..Shape::new("SecretVolumeSource")
};

static NFS_VOLUME_SOURCE: Shape = Shape {
    text: &["server", "path"],
    flag: &["readOnly"],
    ..Shape::new("NFSVolumeSource")
};

static ISCSI_VOLUME_SOURCE: Shape = Shape {
    text: &["targetPortal", "iqn", "fsType"],
    number: &["lun"],
    flag: &["readOnly", "chapAuthDiscovery", "chapAuthSession"],
    pointer: &["initiatorName"],
    text_list: &["portals"],
    fields: &[
        field("iscsiInterface", Kind::Text).or(Preset::Text("default")),
        field("secretRef", Kind::Optional(&LOCAL_OBJECT_REFERENCE)),
    ],
    ..Shape::new("ISCSIVolumeSource")
};

static GLUSTERFS_VOLUME_SOURCE: Shape = Shape {
    text: &["endpoints", "path"],
    flag: &["readOnly"],
    ..Shape::new("GlusterfsVolumeSource")
};

static PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE: Shape = Shape {
    text: &["claimName"],
    flag: &["readOnly"],
    ..Shape::new("PersistentVolumeClaimVolumeSource")
};

static RBD_VOLUME_SOURCE: Shape = Shape {
    text: &["image", "fsType"],
    flag: &["readOnly"],
    text_list: &["monitors"],
    fields: &[
        field("pool", Kind::Text).or(Preset::Text("rbd")),
        field("user", Kind::Text).or(Preset::Text("admin")),
        field("keyring", Kind::Text).or(Preset::Text("/etc/ceph/keyring")),
        field("secretRef", Kind::Optional(&LOCAL_OBJECT_REFERENCE)),
    ],
    ..Shape::new("RBDVolumeSource")
};

static FLEX_VOLUME_SOURCE: Shape = Shape {
    text: &["driver", "fsType"],
    flag: &["readOnly"],
    text_map: &["options"],
    fields: &[field("secretRef", Kind::Optional(&LOCAL_OBJECT_REFERENCE))],
    ..Shape::new("FlexVolumeSource")
};

static CINDER_VOLUME_SOURCE: Shape = Shape {
    text: &["volumeID", "fsType"],
    flag: &["readOnly"],
    fields: &[field("secretRef", Kind::Optional(&LOCAL_OBJECT_REFERENCE))],
    ..Shape::new("CinderVolumeSource")
};

static CEPH_FS_VOLUME_SOURCE: Shape = Shape {
    text: &["path", "user", "secretFile"],
    flag: &["readOnly"],
    text_list: &["monitors"],
    fields: &[field("secretRef", Kind::Optional(&LOCAL_OBJECT_REFERENCE))],
    ..Shape::new("CephFSVolumeSource")
};

static FLOCKER_VOLUME_SOURCE: Shape = Shape {
    text: &["datasetName", "datasetUUID"],
    ..Shape::new("FlockerVolumeSource")
};

static DOWNWARD_API_VOLUME_SOURCE: Shape = Shape {
    fields: &[
        field("items", Kind::ListOf(&DOWNWARD_API_VOLUME_FILE)),
        field("defaultMode", Kind::Pointer).or(Preset::Number(420)),
    ],
    ..Shape::new("DownwardAPIVolumeSource")
};

static FC_VOLUME_SOURCE: Shape = Shape {
    text: &["fsType"],
    flag: &["readOnly"],
    pointer: &["lun"],
    text_list: &["targetWWNs", "wwids"],
    ..Shape::new("FCVolumeSource")
};

static AZURE_FILE_VOLUME_SOURCE: Shape = Shape {
    text: &["secretName", "shareName"],
    flag: &["readOnly"],
    ..Shape::new("AzureFileVolumeSource")
};

static CONFIG_MAP_VOLUME_SOURCE: Shape = Shape {
    text: &["name"],
    pointer: &["optional"],
    fields: &[
        field("items", Kind::ListOf(&KEY_TO_PATH)),
        field("defaultMode", Kind::Pointer).or(Preset::Number(420)),
    ],
    ..Shape::new("ConfigMapVolumeSource")
};

static VSPHERE_VIRTUAL_DISK_VOLUME_SOURCE: Shape = Shape {
    text: &["volumePath", "fsType", "storagePolicyName", "storagePolicyID"],
    ..Shape::new("VsphereVirtualDiskVolumeSource")
};

static QUOBYTE_VOLUME_SOURCE: Shape = Shape {
    text: &["registry", "volume", "user", "group", "tenant"],
    flag: &["readOnly"],
    ..Shape::new("QuobyteVolumeSource")
};

static AZURE_DISK_VOLUME_SOURCE: Shape = Shape {
    text: &["diskName", "diskURI"],
    fields: &[
        field("cachingMode", Kind::Pointer).or(Preset::Text("ReadWrite")),
        field("fsType", Kind::Pointer).or(Preset::Text("ext4")),
        field("readOnly", Kind::Pointer).or(Preset::False),
        field("kind", Kind::Pointer).or(Preset::Text("Shared")),
    ],
    ..Shape::new("AzureDiskVolumeSource")
};

static PHOTON_PERSISTENT_DISK_VOLUME_SOURCE: Shape = Shape {
    text: &["pdID", "fsType"],
    ..Shape::new("PhotonPersistentDiskVolumeSource")
};

static PROJECTED_VOLUME_SOURCE: Shape = Shape {
    fields: &[
        field("sources", Kind::ListOf(&VOLUME_PROJECTION)),
        field("defaultMode", Kind::Pointer).or(Preset::Number(420)),
    ],
    ..Shape::new("ProjectedVolumeSource")
};

static PORTWORX_VOLUME_SOURCE: Shape = Shape {
    text: &["volumeID", "fsType"],
    flag: &["readOnly"],
    ..Shape::new("PortworxVolumeSource")
};

static SCALE_IO_VOLUME_SOURCE: Shape = Shape {
    text: &[
        "gateway",
        "system",
        "protectionDomain",
        "storagePool",
        "volumeName",
    ],
    flag: &["sslEnabled", "readOnly"],
    fields: &[
        field("secretRef", Kind::Optional(&LOCAL_OBJECT_REFERENCE)),
        field("storageMode", Kind::Text).or(Preset::Text("ThinProvisioned")),
        field("fsType", Kind::Text).or(Preset::Text("xfs")),
    ],
    ..Shape::new("ScaleIOVolumeSource")
};

static STORAGE_OS_VOLUME_SOURCE: Shape = Shape {
    text: &["volumeName", "volumeNamespace", "fsType"],
    flag: &["readOnly"],
    fields: &[field("secretRef", Kind::Optional(&LOCAL_OBJECT_REFERENCE))],
    ..Shape::new("StorageOSVolumeSource")
};

static CSI_VOLUME_SOURCE: Shape = Shape {
    text: &["driver"],
    pointer: &["readOnly", "fsType"],
    text_map: &["volumeAttributes"],
    fields: &[field(
        "nodePublishSecretRef",
        Kind::Optional(&LOCAL_OBJECT_REFERENCE),
    )],
    ..Shape::new("CSIVolumeSource")
};

static EPHEMERAL_VOLUME_SOURCE: Shape = Shape {
    fields: &[field(
        "volumeClaimTemplate",
        Kind::Optional(&PERSISTENT_VOLUME_CLAIM_TEMPLATE),
    )],
    ..Shape::new("EphemeralVolumeSource")
};

static IMAGE_VOLUME_SOURCE: Shape = Shape {
    text: &["reference", "pullPolicy"],
    rule: Some(default_image_pull_policy),
    ..Shape::new("ImageVolumeSource")
};

static KEY_TO_PATH: Shape = Shape {
    text: &["key", "path"],
    pointer: &["mode"],
    ..Shape::new("KeyToPath")
};

static DOWNWARD_API_VOLUME_FILE: Shape = Shape {
    text: &["path"],
    pointer: &["mode"],
    fields: &[
        field("fieldRef", Kind::Optional(&OBJECT_FIELD_SELECTOR)),
        field("resourceFieldRef", Kind::Optional(&RESOURCE_FIELD_SELECTOR)),
    ],
    ..Shape::new("DownwardAPIVolumeFile")
};

static VOLUME_PROJECTION: Shape = Shape {
    fields: &[
        field("secret", Kind::Optional(&SECRET_PROJECTION)),
        field("downwardAPI", Kind::Optional(&DOWNWARD_API_PROJECTION)),
        field("configMap", Kind::Optional(&CONFIG_MAP_PROJECTION)),
        field(
            "serviceAccountToken",
            Kind::Optional(&SERVICE_ACCOUNT_TOKEN_PROJECTION),
        ),
        field(
            "clusterTrustBundle",
            Kind::Optional(&CLUSTER_TRUST_BUNDLE_PROJECTION),
        ),
        field("podCertificate", Kind::Optional(&POD_CERTIFICATE_PROJECTION)),
    ],
    ..Shape::new("VolumeProjection")
};

static PERSISTENT_VOLUME_CLAIM_TEMPLATE: Shape = Shape {
    fields: &[
        field("metadata", Kind::Struct(&OBJECT_META)),
        field("spec", Kind::Struct(&PERSISTENT_VOLUME_CLAIM_SPEC)),
    ],
    ..Shape::new("PersistentVolumeClaimTemplate")
};

static SECRET_PROJECTION: Shape = Shape {
    text: &["name"],
    pointer: &["optional"],
    fields: &[field("items", Kind::ListOf(&KEY_TO_PATH))],
    ..Shape::new("SecretProjection")
};

static DOWNWARD_API_PROJECTION: Shape = Shape {
    fields: &[field("items", Kind::ListOf(&DOWNWARD_API_VOLUME_FILE))],
    ..Shape::new("DownwardAPIProjection")
};

static CONFIG_MAP_PROJECTION: Shape = Shape {
    text: &["name"],
    pointer: &["optional"],
    fields: &[field("items", Kind::ListOf(&KEY_TO_PATH))],
    ..Shape::new("ConfigMapProjection")
};

static SERVICE_ACCOUNT_TOKEN_PROJECTION: Shape = Shape {
    text: &["audience", "path"],
    fields: &[field("expirationSeconds", Kind::Pointer).or(Preset::Number(3600))],
    ..Shape::new("ServiceAccountTokenProjection")
};

static CLUSTER_TRUST_BUNDLE_PROJECTION: Shape = Shape {
    text: &["path"],
    pointer: &["name", "signerName", "optional"],
    fields: &[field("labelSelector", Kind::Optional(&LABEL_SELECTOR))],
    ..Shape::new("ClusterTrustBundleProjection")
};

static POD_CERTIFICATE_PROJECTION: Shape = Shape {
    text: &[
        "signerName",
        "keyType",
        "credentialBundlePath",
        "keyPath",
        "certificateChainPath",
    ],
    pointer: &["maxExpirationSeconds"],
    text_map: &["userAnnotations"],
    ..Shape::new("PodCertificateProjection")
};

static PERSISTENT_VOLUME_CLAIM_SPEC: Shape = Shape {
    text: &["volumeName"],
    pointer: &["storageClassName", "volumeAttributesClassName"],
    text_list: &["accessModes"],
    fields: &[
        field("selector", Kind::Optional(&LABEL_SELECTOR)),
        field("resources", Kind::Struct(&VOLUME_RESOURCE_REQUIREMENTS)),
        field("volumeMode", Kind::Pointer).or(Preset::Text("Filesystem")),
        field("dataSource", Kind::Optional(&TYPED_LOCAL_OBJECT_REFERENCE)),
        field("dataSourceRef", Kind::Optional(&TYPED_OBJECT_REFERENCE)),
    ],
    ..Shape::new("PersistentVolumeClaimSpec")
};

static VOLUME_RESOURCE_REQUIREMENTS: Shape = Shape {
    fields: &[
        field("limits", Kind::Quantities),
        field("requests", Kind::Quantities),
    ],
    ..Shape::new("VolumeResourceRequirements")
};

static TYPED_LOCAL_OBJECT_REFERENCE: Shape = Shape {
    text: &["kind", "name"],
    pointer: &["apiGroup"],
    ..Shape::new("TypedLocalObjectReference")
};

static TYPED_OBJECT_REFERENCE: Shape = Shape {
    text: &["kind", "name"],
    pointer: &["apiGroup", "namespace"],
    ..Shape::new("TypedObjectReference")
};

/// A volume without a source is an empty directory. A source that we do not know is one too, so only the name
/// may be beside.
fn default_source(volume: &mut Map<String, Value>) {
    let plain = volume
        .get("emptyDir")
        .and_then(Value::as_object)
        .is_some_and(Map::is_empty);
    if plain
        && volume
            .keys()
            .all(|key| matches!(key.as_str(), "name" | "emptyDir"))
    {
        volume.remove("emptyDir");
    }
}

fn default_image_pull_policy(image: &mut Map<String, Value>) {
    let reference = image.get("reference").and_then(Value::as_str).unwrap_or_default();
    if image.get("pullPolicy").and_then(Value::as_str) == Some(default_pull_policy(reference)) {
        image.remove("pullPolicy");
    }
}
