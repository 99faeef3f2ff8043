"""The training of the GPU check: resumable jobs, judged from their bundles."""
