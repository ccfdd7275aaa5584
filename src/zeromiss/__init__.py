"""zeromiss: visual inspection that may raise false alarms but must not miss a defect."""
