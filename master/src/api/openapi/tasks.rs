//! Operations about tasks, jobs, queues and schedules.

use proto::v1;

use super::operation::{Operation, one, one_or_many};

const LOCATION: (&str, &str) = ("Location", "Path of the new thing.");

pub(super) fn operations() -> Vec<Operation> {
    let mut all = of_tasks();
    all.extend(of_jobs());
    all.extend(of_queues());
    all.extend(of_schedules());
    all
}

fn of_tasks() -> Vec<Operation> {
    vec![
        Operation::get("/api/tasks", "list_tasks", "List tasks, the newest first")
            .details(
                "A page ends when it is full, at about 4 MiB, or when enough tasks were looked at: it may be \
                 empty and not be the last. Only a null `next_cursor` is the end.",
            )
            .shows::<v1::TaskPage>(),
        Operation::post("/api/tasks", "submit_tasks", "Submit one task, or up to 10,000")
            .details("All of them are accepted, or none.")
            .keyed()
            .takes(one_or_many::<v1::TaskSpec>())
            .answers(
                201,
                "The tasks, as an object or a list like the body.",
                one_or_many::<v1::SubmittedTask>(),
            )
            .with_header(LOCATION.0, "Path of the task, if it is one."),
        Operation::get("/api/tasks/{id}", "get_task", "Get a task with its attempts")
            .shows::<v1::Task>(),
        Operation::delete("/api/tasks/{id}", "cancel_task", "Cancel a task")
            .details("A task that waits is cancelled at once, and one that runs when its process has ended.")
            .answers(202, "The task as it is now.", one::<v1::SubmittedTask>()),
        Operation::post("/api/tasks/{id}/retry", "retry_task", "Have a finished task run again")
            .details("Its failures count from zero. Its attempts are numbered on, and are kept.")
            .answers(202, "The task as it is now.", one::<v1::SubmittedTask>()),
        Operation::get("/api/tasks/{id}/wait", "wait_for_task", "Wait for the end of a task")
            .shows::<v1::Task>()
            .answers_nothing(204, "The task is not over yet."),
        Operation::get("/api/tasks/{id}/logs", "get_task_logs", "Read what a task writes")
            .sends("text/plain", "Output, as the processes wrote it."),
        Operation::get("/api/tasks/{id}/explain", "explain_task", "Explain why a task waits")
            .shows::<v1::TaskExplanation>(),
        Operation::get("/api/queue", "get_queue", "Sum up what waits, and why")
            .shows::<v1::QueueSummary>(),
    ]
}

fn of_jobs() -> Vec<Operation> {
    let started = |operation: Operation| {
        operation
            .takes(one::<v1::TaskSelection>())
            .answers(202, "The job that carries it out.", one::<v1::Job>())
            .with_header(LOCATION.0, LOCATION.1)
    };
    vec![
        started(Operation::post("/api/tasks/cancel", "cancel_tasks", "Cancel many tasks")),
        started(Operation::post(
            "/api/tasks/retry",
            "retry_tasks",
            "Have many finished tasks run again",
        )),
        Operation::get("/api/jobs", "list_jobs", "List orders about many tasks, the newest first")
            .shows::<v1::JobList>(),
        Operation::get("/api/jobs/{id}", "get_job", "Get an order about many tasks")
            .shows::<v1::Job>(),
    ]
}

fn of_queues() -> Vec<Operation> {
    vec![
        Operation::get("/api/queues", "list_queues", "List the named queues")
            .shows::<v1::QueueList>(),
        Operation::get("/api/queues/{id}", "get_named_queue", "Get a named queue")
            .shows::<v1::Queue>(),
        Operation::put("/api/queues/{id}", "put_queue", "Create a queue, or set all that it has")
            .details("What the body leaves out is as in a new queue. The body need not name it.")
            .takes(one::<v1::QueueSpec>())
            .shows::<v1::Queue>(),
        Operation::delete("/api/queues/{id}", "delete_queue", "Delete a queue that nothing needs")
            .details("It is refused while a task of the queue is not over, or a schedule names it.")
            .answers_nothing(204, "It is gone."),
        Operation::post("/api/queues/{id}/pause", "pause_queue", "Start no task of a queue")
            .details("Tasks that run go on.")
            .shows::<v1::Queue>(),
        Operation::post("/api/queues/{id}/resume", "resume_queue", "Let a paused queue go on")
            .shows::<v1::Queue>(),
    ]
}

fn of_schedules() -> Vec<Operation> {
    vec![
        Operation::get("/api/schedules", "list_schedules", "List schedules by name")
            .shows::<v1::SchedulePage>(),
        Operation::post("/api/schedules", "create_schedule", "Create a schedule")
            .takes(one::<v1::ScheduleSpec>())
            .answers(201, "The new schedule.", one::<v1::Schedule>())
            .with_header(LOCATION.0, LOCATION.1),
        Operation::get(
            "/api/schedules/{id}",
            "get_schedule",
            "Get a schedule with its latest runs",
        )
        .shows::<v1::Schedule>(),
        Operation::put("/api/schedules/{id}", "replace_schedule", "Replace a schedule")
            .details("What is known of its runs stays. The body need not name it.")
            .takes(one::<v1::ScheduleSpec>())
            .shows::<v1::Schedule>(),
        Operation::delete("/api/schedules/{id}", "delete_schedule", "Delete a schedule")
            .details("The tasks of its runs stay.")
            .answers_nothing(204, "It is gone."),
        Operation::get(
            "/api/schedules/{id}/next",
            "get_next_runs",
            "List the next times of a schedule",
        )
        .shows::<v1::NextRuns>(),
        Operation::post("/api/schedules/{id}/run", "run_schedule", "Start a run of a schedule now")
            .details("The times of the schedule stay as they are.")
            .keyed()
            .answers(201, "The task of the run.", one::<v1::SubmittedTask>())
            .with_header(LOCATION.0, "Path of the task."),
        Operation::post("/api/schedules/{id}/pause", "pause_schedule", "Pause a schedule")
            .shows::<v1::Schedule>(),
        Operation::post("/api/schedules/{id}/resume", "resume_schedule", "Resume a schedule")
            .shows::<v1::Schedule>(),
    ]
}
