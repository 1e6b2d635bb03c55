//! Generates the gRPC code without a `protoc` on the machine.

use std::error::Error;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

#[path = "build/schemas.rs"]
mod schemas;

const FILES: [&str; 12] = [
    "cloudai/v1/task.proto",
    "cloudai/v1/worker.proto",
    "cloudai/v1/master.proto",
    "cloudai/v1/registry.proto",
    "cloudai/v1/cluster.proto",
    "cloudai/v1/raft.proto",
    "cloudai/v1/user.proto",
    "cloudai/v1/certificate.proto",
    "cloudai/v1/audit.proto",
    "cloudai/v1/queue.proto",
    "cloudai/v1/job.proto",
    "cloudai/v1/schedule.proto",
];

/// Messages that are bodies of the REST API too: one type, two encodings.
const JSON_BODIES: [&str; 67] = [
    "Resources",
    "Constraint",
    "TaskSpec",
    "SubmittedTask",
    "Attempt",
    "Task",
    "TaskPage",
    "Worker",
    "WorkerPage",
    "Member",
    "ClusterStatus",
    "LeaderStatus",
    "MassLoss",
    "Setting",
    "ClusterConfig",
    "ClusterMember",
    "MemberList",
    "MemberChanged",
    "UpgradeStatus",
    "UpgradeMaster",
    "WorkerRelease",
    "Orphan",
    "OrphanPage",
    "DropOrphansResponse",
    "SetSchedulingRequest",
    "LabelWorkerRequest",
    "ReconnectResult",
    "ReconnectResponse",
    "WorkerHistory",
    "WorkerEvent",
    "UsageSample",
    "WorkerMetrics",
    "CreateTokenRequest",
    "CreatedToken",
    "Token",
    "TokenList",
    "RevokeTokenRequest",
    "CreateUserTokenRequest",
    "CreatedUserToken",
    "UserToken",
    "UserTokenList",
    "CallerIdentity",
    "AuditRecord",
    "AuditPage",
    "AuthorityCertificate",
    "IssuingMaster",
    "CertificateStatus",
    "PriorityDepth",
    "QueueClass",
    "QueueSummary",
    "QueueRate",
    "QueueSpec",
    "Queue",
    "QueueList",
    "ObstructedWorkers",
    "TaskExplanation",
    "RotationStatus",
    "RotationStraggler",
    "TaskSelection",
    "Job",
    "JobList",
    "ScheduleSpec",
    "ScheduleRun",
    "Schedule",
    "SchedulePage",
    "NextRun",
    "NextRuns",
];

/// Bodies that clients send: an unknown field is refused by name rather than dropped.
const REQUEST_BODIES: [&str; 11] = [
    "Resources",
    "Constraint",
    "TaskSpec",
    "SetSchedulingRequest",
    "LabelWorkerRequest",
    "CreateTokenRequest",
    "CreateUserTokenRequest",
    "TaskSelection",
    "ScheduleSpec",
    "QueueRate",
    "QueueSpec",
];

/// Messages that hold secrets: their `Debug` is written by hand and leaves the secrets out.
const SECRET_BEARERS: [&str; 7] = [
    "TaskSpec",
    "Assignment",
    "AdoptIssuerRequest",
    "IssuerKey",
    "IssueCertificateRequest",
    "CreatedToken",
    "CreatedUserToken",
];

/// Fields of a task that few have: JSON leaves them out where they are absent.
const OMITTED: [&str; 14] = [
    "not_before",
    "queue_timeout",
    "deadline",
    "retry_factor",
    "retry_max_backoff",
    "retry_jitter",
    "retries",
    "dependent_count",
    "result",
    "result_bytes",
    "result_error",
    "stdin_bytes",
    "queue",
    "concurrency_key",
];

/// Fields of an attempt that JSON leaves out where they are absent.
const OMITTED_OF_ATTEMPTS: [&str; 2] = ["cpu_seconds", "memory_peak_bytes"];

/// Lists of a task that few have: JSON leaves them out where they are empty.
const OMITTED_LISTS: [&str; 3] = ["after", "after_any", "dependents"];

/// Values of enums with names of their own.
const SYMBOLS: [(&str, &str); 3] = [
    ("CONSTRAINT_OPERATOR_EQUALS", "="),
    ("CONSTRAINT_OPERATOR_NOT_EQUALS", "!="),
    ("SCHEDULE_OVERLAP_BUFFER_ONE", "buffer_one"),
];

fn main() -> Result<(), Box<dyn Error>> {
    generate(Path::new("."))
}

/// Generates the code of the messages below `root`.
pub(crate) fn generate(root: &Path) -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(FILES, [root])?;

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    std::fs::write(out.join("layouts.rs"), layouts(&descriptors)?)?;
    std::fs::write(out.join("names.rs"), names(&descriptors)?)?;
    std::fs::write(out.join("schemas.json"), schemas::schemas(&descriptors).to_string())?;
    std::fs::write(out.join("json_bodies.rs"), schemas::names_of_bodies()?)?;

    let mut config = tonic_prost_build::configure()
        .codec_path("crate::codec::BoundedCodec")
        .bytes(".cloudai.v1")
        .btree_map(".cloudai.v1")
        .skip_debug(SECRET_BEARERS.map(|name| format!(".cloudai.v1.{name}")));
    for body in JSON_BODIES {
        let path = format!("cloudai.v1.{body}");
        config = config
            .type_attribute(&path, "#[derive(serde::Serialize, serde::Deserialize)]")
            .type_attribute(&path, "#[serde(default)]");
    }
    for body in REQUEST_BODIES {
        let path = format!("cloudai.v1.{body}");
        config = config.type_attribute(path, "#[serde(deny_unknown_fields)]");
    }
    for (path, attribute) in named_values(&descriptors) {
        config = config.field_attribute(path, attribute);
    }
    for path in omitted() {
        config =
            config.field_attribute(path, "#[serde(skip_serializing_if = \"Option::is_none\")]");
    }
    for field in OMITTED_LISTS {
        let path = format!("cloudai.v1.Task.{field}");
        config = config.field_attribute(path, "#[serde(skip_serializing_if = \"Vec::is_empty\")]");
    }
    config
        .field_attribute(
            "cloudai.v1.Constraint.value",
            "#[serde(with = \"crate::json::one_or_many\")]",
        )
        .field_attribute("cloudai.v1.TaskSpec.stdin", "#[serde(with = \"crate::json::payload\")]")
        .field_attribute("cloudai.v1.Task.result", "#[serde(with = \"crate::json::payload\")]")
        .field_attribute(
            "cloudai.v1.TaskSpec.no_retry_exit_codes",
            "#[serde(with = \"crate::json::exit_codes\")]",
        )
        .field_attribute(
            "cloudai.v1.Task.no_retry_exit_codes",
            "#[serde(with = \"crate::json::exit_codes\", skip_serializing_if = \"Vec::is_empty\")]",
        )
        .field_attribute(
            "cloudai.v1.Task.env",
            "#[serde(skip_serializing_if = \"std::collections::BTreeMap::is_empty\")]",
        )
        .field_attribute(
            "cloudai.v1.Task.secret_env",
            "#[serde(skip_serializing_if = \"Vec::is_empty\")]",
        )
        .field_attribute(
            "cloudai.v1.TaskSpec.secret_env",
            "#[serde(deserialize_with = \"crate::json::secrets\")]",
        )
        .field_attribute(
            "cloudai.v1.TaskSpec.constraints",
            "#[serde(deserialize_with = \"crate::json::constraints\")]",
        )
        .compile_fds(descriptors)?;
    Ok(())
}

/// Returns the fields that JSON leaves out where they are absent.
fn omitted() -> impl Iterator<Item = String> {
    let of_tasks = OMITTED.map(|field| format!("cloudai.v1.Task.{field}"));
    let of_attempts = OMITTED_OF_ATTEMPTS.map(|field| format!("cloudai.v1.Attempt.{field}"));
    of_tasks.into_iter().chain(of_attempts)
}

/// Returns the fields of bodies that hold an enum, with the attributes by which JSON names its values.
fn named_values(descriptors: &FileDescriptorSet) -> Vec<(String, String)> {
    let messages = descriptors.file.iter().flat_map(|file| &file.message_type);
    let bodies = messages.filter(|message| JSON_BODIES.contains(&message.name()));
    let fields = bodies.flat_map(|body| body.field.iter().map(move |field| (body, field)));
    fields
        .filter(|(_, field)| field.r#type() == Type::Enum)
        .map(|(body, field)| {
            let form = match (field.label(), field.proto3_optional()) {
                (Label::Repeated, _) => "Names",
                (_, true) => "OptionalName",
                (_, false) => "Name",
            };
            let values = type_name(field.type_name());
            let path = format!("cloudai.v1.{}.{}", body.name(), field.name());
            let with = format!("crate::json::{form}::<crate::v1::{values}>");
            (path, format!("#[serde(with = \"{with}\")]"))
        })
        .collect()
}

/// Lists the names of every enum's values.
fn names(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for values in descriptors.file.iter().flat_map(|file| &file.enum_type) {
        writeln!(text, "impl Named for crate::v1::{} {{", values.name())?;
        writeln!(text, "    const NAMES: &'static [(i32, &'static str)] = &[")?;
        for value in &values.value {
            writeln!(
                text,
                "        ({}, {:?}),",
                value.number(),
                name(values.name(), value.name())
            )?;
        }
        writeln!(text, "    ];\n}}")?;
    }
    Ok(text)
}

/// Returns the name of an enum's value: what follows the prefix, in lower case and with hyphens. The
/// value that says nothing has none.
fn name(values: &str, value: &str) -> String {
    if let Some((_, symbol)) = SYMBOLS.iter().find(|(of, _)| *of == value) {
        return (*symbol).to_owned();
    }
    let is_inner_capital = |(at, c): (usize, char)| at > 0 && c.is_ascii_uppercase();
    let words = values.chars().enumerate().filter(|place| is_inner_capital(*place)).count();
    let own = value.splitn(words + 2, '_').last().unwrap_or(value);
    if own == "UNSPECIFIED" { String::new() } else { own.to_ascii_lowercase().replace('_', "-") }
}

/// Describes every message for the decoder that measures it.
fn layouts(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let services = descriptors.file.iter().flat_map(|file| &file.service);
    let requests =
        services.flat_map(|service| &service.method).map(|method| type_name(method.input_type()));
    let requests = requests.collect::<Vec<_>>();

    let mut text = String::new();
    for message in descriptors.file.iter().flat_map(|file| &file.message_type) {
        let name = message.name();
        let last = message.field.iter().map(FieldDescriptorProto::number).max().unwrap_or(0);
        writeln!(text, "impl Measured for crate::v1::{name} {{")?;
        writeln!(text, "    const IS_REQUEST: bool = {};", requests.contains(&name))?;
        writeln!(text, "    const LAYOUT: &'static Layout = &Layout::new(&[")?;
        for number in 0..=last {
            let field = message.field.iter().find(|field| field.number() == number);
            let layout = field.map_or(Ok("Field::NUMBER".to_owned()), |f| layout(message, f))?;
            writeln!(text, "        {layout},")?;
        }
        writeln!(text, "    ]);\n}}")?;
    }
    Ok(text)
}

fn layout(message: &DescriptorProto, field: &FieldDescriptorProto) -> Result<String, String> {
    let is_list = field.label() == Label::Repeated;
    Ok(match (rust_type(field)?, field.r#type()) {
        (element, Type::Message) => {
            let entry = message.nested_type.iter().find(|entry| entry.name() == element);
            match entry.map(|entry| entry.field.as_slice()) {
                Some([key, value]) => {
                    format!("Field::map::<{}, {}>()", rust_type(key)?, rust_type(value)?)
                }
                Some(_) => return Err(format!("{element} is no map")),
                None if is_list => format!("Field::messages::<crate::v1::{element}>()"),
                None => format!("Field::message::<crate::v1::{element}>()"),
            }
        }
        (element, Type::String | Type::Bytes) if is_list => format!("Field::texts::<{element}>()"),
        (_, Type::String | Type::Bytes) => "Field::TEXT".to_owned(),
        (element, _) if is_list => format!("Field::numbers::<{element}>()"),
        _ => "Field::NUMBER".to_owned(),
    })
}

fn rust_type(field: &FieldDescriptorProto) -> Result<&str, String> {
    Ok(match field.r#type() {
        Type::Message => type_name(field.type_name()),
        Type::String => "String",
        Type::Bytes => "bytes::Bytes",
        Type::Double => "f64",
        Type::Uint64 => "u64",
        Type::Sint64 => "i64",
        Type::Uint32 => "u32",
        Type::Int32 | Type::Enum => "i32",
        Type::Bool => "bool",
        other @ (Type::Float
        | Type::Int64
        | Type::Fixed64
        | Type::Fixed32
        | Type::Group
        | Type::Sfixed32
        | Type::Sfixed64
        | Type::Sint32) => return Err(format!("{} is of the type {other:?}", field.name())),
    })
}

/// Returns the name without its package and outer message.
fn type_name(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}
