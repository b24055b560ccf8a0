"""The data set: FER2013 read, prepared and looked at."""
