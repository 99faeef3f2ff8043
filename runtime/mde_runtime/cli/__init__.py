"""The commands of the ground floor: mde-predict, mde-bundle, mde-doctor. They parse and call."""
