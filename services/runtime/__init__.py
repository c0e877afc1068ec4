"""What every process of ours needs: settings, logs, Temporal, documents, files and locks."""
