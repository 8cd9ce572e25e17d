# Stands in for a build of 3D Slicer, so that CMake can install and package the extension without one.
# It has what CMakeLists.txt of the extension and of its module use; where things go is as in Slicer.
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/ExtensionDescription.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/ExtensionPackage.cmake")
set(Slicer_VERSION "5.10" CACHE STRING "Version of Slicer, in the names of folders")
