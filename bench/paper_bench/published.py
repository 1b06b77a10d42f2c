# SPDX-License-Identifier: MIT
"""What the paper has (Bugnion, Devine, Rosenblum: Disco, SOSP'97).

Totals and tables are the text's; the parts of bars are measured in the drawings, to about 0.2. Of figure 6 bench/memory has the figures.
"""

FIGURE_5 = {  # one processor; IRIX without a monitor = 100
    "Pmake": {"bare": {"user": 49.6, "kernel": 18.7, "disco": 0.0, "idle": 31.7},
              "disco": {"user": 50.5, "kernel": 16.3, "disco": 24.1, "idle": 24.9}},
    "Engineering": {"bare": {"user": 94.1, "kernel": 5.9, "disco": 0.0, "idle": 0.0},
                    "disco": {"user": 94.8, "kernel": 1.2, "disco": 9.7, "idle": 0.0}},
    "Raytrace": {"bare": {"user": 96.6, "kernel": 3.4, "disco": 0.0, "idle": 0.0},
                 "disco": {"user": 96.1, "kernel": 0.8, "disco": 6.1, "idle": 0.0}},
    "Database": {"bare": {"user": 86.4, "kernel": 13.6, "disco": 0.0, "idle": 0.0},
                 "disco": {"user": 87.9, "kernel": 3.0, "disco": 25.4, "idle": 0.0}},
}

FIGURE_7 = {"IRIX": 100, "1 VM": 136, "2 VMs": 92, "4 VMs": 64, "8 VMs": 60, "8, NFS": 86}  # pmake, 8 processors
RADIX = {"IRIX": 100, "SPLASHOS": 34}

FIGURE_8 = {  # IRIX on NUMA = 100
    "Engineering": {"off": {"exec": 31.3, "local": 5.5, "remote": 63.2, "disco": 0.0},
                    "on": {"exec": 30.4, "local": 12.9, "remote": 13.3, "disco": 10.3},
                    "uma": {"exec": 31.4, "local": 17.0, "remote": 0.0, "disco": 0.0}},
    "Raytrace": {"off": {"exec": 42.1, "local": 1.8, "remote": 56.1, "disco": 0.0},
                 "on": {"exec": 41.5, "local": 6.8, "remote": 7.1, "disco": 6.2},
                 "uma": {"exec": 42.0, "local": 7.4, "remote": 0.0, "disco": 0.0}},
}
LOCAL_PERCENT = {"Engineering": {"off": 16, "on": 78, "uma": 100}, "Raytrace": {"off": 6, "on": 76, "uma": 100}}

TABLE_2 = {  # pmake: percent of IRIX's system time, microseconds there, slowdown and its parts
    "demand_zero": {"name": "DEMAND_ZERO", "percent": 30, "us": 21, "slowdown": 1.42, "parts": (0.43, 0.21, 0.16, 0.47, 0.16)},
    "quick_fault": {"name": "QUICK_FAULT", "percent": 10, "us": 5, "slowdown": 3.17, "parts": (1.27, 0.80, 0.56, 0.00, 0.53)},
    "open": {"name": "open", "percent": 9, "us": 42, "slowdown": 1.63, "parts": (1.16, 0.08, 0.06, 0.02, 0.30)},
    "utlb_miss": {"name": "UTLB_MISS", "percent": 7, "us": 0.035, "slowdown": 1.35, "parts": (0.07, 1.22, 0.05, 0.00, 0.02)},
    "write": {"name": "write", "percent": 6, "us": 12, "slowdown": 2.14, "parts": (1.01, 0.24, 0.21, 0.31, 0.17)},
    "read": {"name": "read", "percent": 6, "us": 23, "slowdown": 1.53, "parts": (1.10, 0.13, 0.09, 0.01, 0.20)},
    "execve": {"name": "execve", "percent": 6, "us": 437, "slowdown": 1.60, "parts": (0.97, 0.03, 0.05, 0.17, 0.40)},
}

TABLE_3 = {  # page moves a second, and microseconds each
    "Engineering": {"migrations": 2461, "migration_us": 67, "replications": 2208, "replication_us": 57},
    "Raytrace": {"migrations": 909, "migration_us": 102, "replications": 2671, "replication_us": 73},
}
