"""Where Python asks a placeholder for what is only known when the workflow runs."""
