//! Files that are right, and what is told of those that are not.

use super::*;

fn parse(name: &str, text: &str) -> Result<TaskFile, String> {
    let path = PathBuf::from(name);
    let format = TaskFormat::of(&path, text).unwrap();
    TaskFile::parse(path, format, text).map_err(|faults| lines(&faults))
}

fn tasks(name: &str, text: &str) -> Vec<v1::TaskSpec> {
    let parsed = parse(name, text).unwrap_or_else(|faults| panic!("{faults}"));
    into_tasks(vec![parsed]).unwrap_or_else(|error| panic!("{error}"))
}

fn fault(name: &str, text: &str) -> String {
    match parse(name, text) {
        Err(faults) => faults,
        Ok(parsed) => into_tasks(vec![parsed]).unwrap_err().to_string(),
    }
}

const YAML: &str = r#"
# Shared by both.
tasks:
  - &base
    name: build
    command: [make, "-j4"]
    env: {PORT: "8080", EMPTY: ""}
    resources: {cpu: 0.5, custom: {license: 1}}
    constraints:
      - {label: zone, op: in, value: [a, b]}
    not_before: 2030-01-31T12:00:00Z
    no_retry_exit_codes: [2, 64-78]
    retry_jitter: 1e-1
    working_dir: null
  - <<: *base
    name: test
    command:
      - sh
      - -c
      - |
        make test
"#;

const TOML: &str = r#"
[[tasks]]
name = "build"
command = ["make", "-j4"]
env = { PORT = "8080", EMPTY = "" }
constraints = [{ label = "zone", op = "in", value = ["a", "b"] }]
not_before = 2030-01-31T12:00:00Z
no_retry_exit_codes = [2, "64-78"]
retry_jitter = 0.1

[tasks.resources]
cpu = 0.5
custom.license = 0x1

[[tasks]]
name = "test"
command = ["sh", "-c", "make test\n"]
env = { PORT = "8080", EMPTY = "" }
constraints = [{ label = "zone", op = "in", value = ["a", "b"] }]
not_before = 2030-01-31T12:00:00Z
no_retry_exit_codes = [2, "64-78"]
retry_jitter = 1e-1
resources = { cpu = 0.5, custom = { license = 1 } }
"#;

const JSON: &str = r#"[
  {"name": "build", "command": ["make", "-j4"], "env": {"PORT": "8080", "EMPTY": ""},
   "resources": {"cpu": 0.5, "custom": {"license": 1}},
   "constraints": [{"label": "zone", "op": "in", "value": ["a", "b"]}],
   "not_before": "2030-01-31T12:00:00Z", "no_retry_exit_codes": [2, "64-78"], "retry_jitter": 0.1},
  {"name": "test", "command": ["sh", "-c", "make test\n"], "env": {"PORT": "8080", "EMPTY": ""},
   "resources": {"cpu": 0.5, "custom": {"license": 1}},
   "constraints": [{"label": "zone", "op": "in", "value": ["a", "b"]}],
   "not_before": "2030-01-31T12:00:00Z", "no_retry_exit_codes": [2, "64-78"], "retry_jitter": 0.1}
]"#;

#[test]
fn all_forms_say_the_same() {
    let [yaml, toml, json] =
        [("a.yml", YAML), ("a.toml", TOML), ("a.json", JSON)].map(|(name, text)| tasks(name, text));
    assert_eq!(yaml.len(), 2);
    assert_eq!(yaml, json);
    assert_eq!(toml, json);
    assert_eq!(yaml[1].command[2], "make test\n");
}

#[test]
fn a_file_holds_one_task_a_list_or_several_documents() {
    for (name, text, expected) in [
        ("a.yaml", "command: [a]", &["a"][..]),
        (
            "a.yaml",
            "---\ncommand: [a]\n---\n- command: [b]\n- command: [c]\n---\n",
            &["a", "b", "c"],
        ),
        ("a.yaml", "tasks: [{command: [a]}]\n---\ncommand: [b]", &["a", "b"]),
        ("a.toml", "command = [\"a\"]", &["a"]),
        ("a.json", "{\"command\": [\"a\"]}", &["a"]),
        ("a.json", "{\"tasks\": [{\"command\": [\"a\"]}, {\"command\": [\"b\"]}]}", &["a", "b"]),
        ("-", " {\"command\": [\"a\"]}", &["a"]),
        ("-", "command: [a]", &["a"]),
    ] {
        let read = tasks(name, text);
        let programs = read.iter().map(|task| task.command[0].as_str());
        assert_eq!(programs.collect::<Vec<_>>(), expected, "{text}");
    }
}

#[test]
fn a_fault_is_told_with_its_place_and_its_key() {
    for (name, text, expected) in [
        (
            "a.yaml",
            "name: x\ncomand: [a]",
            "a.yaml:2:1: comand: unknown key; did you mean command?",
        ),
        (
            "a.yaml",
            "- command: [a]\n- command: [b]\n  resources:\n    ram: 1",
            "a.yaml:4:5: [1].resources.ram: unknown key; there are cpu, memory_mb, storage_mb, gpu, custom",
        ),
        (
            "a.yaml",
            "command: [a]\nenv:\n  PORT: 80",
            "a.yaml:3:3: env.PORT: invalid type: integer `80`, expected a string: write it in quotes",
        ),
        (
            "a.yaml",
            "command: [a]\nrun_timeout: soon",
            "a.yaml:2:1: run_timeout: is not a duration: write it as in 250ms, 30s or 5m",
        ),
        (
            "a.yaml",
            "command: [a]\n---\ncommand: [b]\npriority: 101",
            "a.yaml:4:1: priority: is out of range: 0 to 100 are allowed",
        ),
        ("a.yaml", "name: x", "a.yaml:1:1: command: is required"),
        ("a.yaml", "command: [a]\ncommand: [b]", "a.yaml:2:1: command: is given twice"),
        ("a.yaml", "command: [a", "a.yaml:2:1: is not YAML: while parsing a flow sequence"),
        ("a.yaml", "just a text", "a.yaml:1:1: neither a task nor a list of tasks"),
        ("a.yaml", "tasks: []\nname: x", "a.yaml:2:1: name: stands beside a list of tasks"),
        ("a.yaml", "command: !!binary x", "a.yaml:1:10: command: has a tag, which no task needs"),
        ("a.yaml", "# nothing", "a.yaml: holds no tasks"),
        ("a.toml", "command = [\"a\"]\ncpu = 1", "a.toml:2:1: cpu: unknown key; there are "),
        (
            "a.toml",
            "command = [\"a\"]\n[env]\nPORT = 80",
            "a.toml:3:1: env.PORT: invalid type: integer `80`, expected a string: write it in quotes",
        ),
        ("a.toml", "[[tasks]]\ncommand = []", "a.toml:2:1: tasks[0].command: is required"),
        ("a.toml", "name = ", "a.toml:1:8: is not TOML: "),
        (
            "a.json",
            "{\"command\": [\"a\"],\n \"priorities\": 1}",
            "a.json:2:2: priorities: unknown key; did you mean priority?",
        ),
        (
            "a.json",
            "[{\"command\": [\"a\"]},\n {\"command\": [7]}]",
            "a.json:2:15: [1].command[0]: invalid type: integer `7`, expected a string: write it in quotes",
        ),
        (
            "a.json",
            "{\"command\": [\"a\"],\n\"command\": [\"b\"]}",
            "a.json:2:1: command: is given twice",
        ),
        ("a.json", "{\n", "a.json:2:0: is not JSON: EOF while parsing an object"),
        ("a.json", "", "a.json:1:0: is not JSON: EOF while parsing a value"),
    ] {
        let told = fault(name, text);
        assert!(told.starts_with(expected), "{text}\n  {told}\n  {expected}");
    }
}

#[test]
fn tasks_of_several_files_are_one_graph() {
    let build = || parse("build.yaml", "{local_name: build, command: [make]}").unwrap();
    let rest = |after: &str| {
        let lint = "- {local_name: lint, command: [make], after: [build, t17]}";
        let text = format!("{lint}\n- {{command: [make], after: [{after}]}}\n");
        parse("rest.yaml", &text).unwrap()
    };
    let tasks = into_tasks(vec![build(), rest("lint")]).unwrap();
    assert_eq!(tasks.iter().map(|task| task.after.len()).collect::<Vec<_>>(), [0, 2, 1]);

    let refused = into_tasks(vec![build(), rest("link")]).unwrap_err().to_string();
    let expected = "neither the id of a task, as in t17, nor a local name of this submission";
    assert!(refused.starts_with("rest.yaml:2:") && refused.contains(expected), "{refused}");
}

#[test]
fn every_fault_of_every_file_is_told_at_once() {
    let dir = std::env::temp_dir().join(format!("task-files-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let first = file("a.yaml", "- {nam: x}\n- {command: [a]}\n- {command: a}\n");
    let second = file("b.toml", "command = [\"a\"]\nenv = 1\n");
    let third = file("c.json", "{\"command\": [\"a\"]}");
    let told = read_all(&[first, second, third.clone()], None).unwrap_err().to_string();
    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(told.contains("a.yaml:1:4: [0].nam: ") && told.contains("b.toml:2:1: env: "), "{told}");

    let unknown = file("d.txt", "command: [a]");
    let told = read_all(std::slice::from_ref(&unknown), None).unwrap_err().to_string();
    assert!(told.ends_with("--format says which it is"), "{told}");
    let read = read_all(&[unknown, third], Some(TaskFormat::Yaml)).unwrap();
    assert_eq!(into_tasks(read).unwrap().len(), 2, "JSON is YAML, too");
    let missing = read_all(&[dir.join("e.yaml")], None).unwrap_err();
    assert!(matches!(missing, TaskFileError::Read { .. }));
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_few_lines_do_not_become_a_billion_values() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(", ")));
    }
    assert!(fault("a.yaml", &bomb).contains("stands for too much"));
    let deep = format!("a: {}{}", "[".repeat(50), "]".repeat(50));
    assert!(fault("a.yaml", &deep).contains("lies too deep"), "{}", fault("a.yaml", &deep));
    assert!(fault("a.json", &"[".repeat(1_000)).contains("is not JSON: recursion limit"));
}

#[test]
fn scalars_are_read_by_the_core_schema() {
    let read = tasks("a.yaml", "command: [no, 1_000, 0x1F zone, ~/bin, 'null', 12:30, +x, .]\n");
    assert_eq!(read[0].command, ["no", "1_000", "0x1F zone", "~/bin", "null", "12:30", "+x", "."]);
    let read = tasks("a.yaml", "command: [a]\npriority: 0x1F\nmax_attempts: 0o17\nname: !!str 7\n");
    assert_eq!((read[0].priority, read[0].max_attempts), (Some(31), Some(15)));
    assert_eq!(read[0].name.as_deref(), Some("7"));
}
