"""Features -> meaning: one file a task, in numpy, without torch."""

from fovea.tasks.task import TASKS, Task, TaskInfo, create_task

__all__ = ["TASKS", "Task", "TaskInfo", "create_task"]
