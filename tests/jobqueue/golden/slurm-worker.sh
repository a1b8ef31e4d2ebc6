#!/bin/bash
#SBATCH --job-name=rsdat-lab-1a2b3-w3
#SBATCH --output=/home/researcher/.rsdat/sessions/lab-1a2b3/workers/w3-%j.log
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16
#SBATCH --mem=30518M
#SBATCH --time=1-12:00:00
#SBATCH --partition=gpu
#SBATCH --account=remote-sensing
#SBATCH --qos=long
#SBATCH --gres=gpu:a100:1
#SBATCH --constraint=scratch-node&[rack1|rack2]
#SBATCH --exclusive
#SBATCH --mail-type=END

umask 077
export DASK_CONFIG=/home/researcher/.rsdat/sessions/lab-1a2b3/dask

exec '/opt/our python/bin/python' -m distributed.cli.dask_worker tls://10.0.0.1:8786 --local-directory "${TMPDIR:-/tmp}" --name 'it'"'"'s'
