#!/bin/bash
#SBATCH --job-name=rsdat-lab-1a2b3
#SBATCH --output=job.log
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=1

umask 077

exec python3 -m rsdat.session.head
