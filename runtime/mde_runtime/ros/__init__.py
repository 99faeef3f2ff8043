"""ROS 2's recordings and messages, by rosbags, without ROS (extra `bag`)."""
