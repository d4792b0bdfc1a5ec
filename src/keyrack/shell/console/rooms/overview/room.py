"""The room that all files of the overview share."""

from keyrack.shell.console.calls import Room

room = Room()
